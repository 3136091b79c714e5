//! The corpus of the fuzz targets, replayed on stable Rust.

#[path = "../../fuzz/checks/mod.rs"]
mod checks;

use std::cell::Cell;
use std::fs;
use std::path::Path;

fn replay(target: &str, check: impl Fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let files =
        fs::read_dir(&corpus).unwrap_or_else(|error| panic!("{}: {error}", corpus.display()));
    let mut replayed = 0;
    for file in files {
        let path = file.unwrap().path();
        println!("{}", path.display());
        check(&fs::read(path).unwrap());
        replayed += 1;
    }
    assert!(replayed >= 20, "{replayed} files in {}", corpus.display());
}

#[test]
fn certificate() {
    replay("certificate", checks::certificate::check);
}

#[test]
fn loads() {
    replay("loads", checks::loads::check);
}

#[test]
fn over_time() {
    replay("over_time", checks::over_time::check);
}

#[test]
fn plan() {
    replay("plan", checks::plan::check);
}

#[test]
fn tables() {
    replay("tables", checks::tables::check);
}

#[test]
#[should_panic(expected = "the twentieth input is refused")]
fn control_an_input_that_is_refused_fails() {
    let seen = Cell::new(0);
    replay("plan", |_| {
        seen.set(seen.get() + 1);
        assert!(seen.get() < 20, "the twentieth input is refused");
    });
}

#[test]
#[should_panic(expected = " files in ")]
fn control_a_folder_of_few_files_fails() {
    replay("../checks", |_| ());
}

#[test]
#[should_panic(expected = "nowhere")]
fn control_a_folder_that_is_not_there_fails() {
    replay("nowhere", |_| ());
}

/// Inputs of any length have an answer, the empty one too.
#[test]
fn short_inputs() {
    for length in 0..64 {
        for byte in [0, 1, 0x7f, 0x80, 0xff] {
            checks::certificate::check(&vec![byte; length]);
            checks::loads::check(&vec![byte; length]);
            checks::over_time::check(&vec![byte; length]);
            checks::plan::check(&vec![byte; length]);
            checks::tables::check(&vec![byte; length]);
        }
    }
}
