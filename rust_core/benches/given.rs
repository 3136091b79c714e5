//! Times plans of given problems, for `make bench` and `make bench-instructions`.
//!
//! A line of standard input is a problem: policy, effort, how many times to plan it, slots, groups,
//! nodes, GPUs, layers, experts, and the loads, layer after layer. The answer is a line of JSON:
//! the digest of the plan and the nanoseconds of each time.
#![allow(clippy::disallowed_types, reason = "a benchmark is about time")]

use std::error::Error;
use std::hint::black_box;
use std::io::{self, BufRead, Write};
use std::str::{FromStr, SplitWhitespace};
use std::time::Instant;

use eplb_core::{CanonicalLoads, Effort, Options, Plan, Policy, Problem, Sizes, Topology, plan};

struct Given {
    options: Options,
    topology: Topology,
    layers: usize,
    tokens: Vec<u64>,
}

/// What is timed and counted: from loads to a plan, for `minimax` with its certificate, as
/// `eplb.plan` makes it.
#[inline(never)]
fn measured(given: &Given) -> Result<Plan, eplb_core::Error> {
    let Given { options, topology, layers, tokens } = given;
    let loads = CanonicalLoads::new(tokens, *layers, topology.num_experts())?;
    let plan = plan(&Problem::new(&loads, topology, *options)?, 1)?;
    if plan.knows_bounds() {
        black_box(plan.certificate());
    }
    Ok(plan)
}

fn next<T: FromStr<Err: Error + 'static>>(
    words: &mut SplitWhitespace<'_>,
) -> Result<T, Box<dyn Error>> {
    Ok(words.next().ok_or("the line ends early")?.parse()?)
}

fn answer(line: &str) -> Result<String, Box<dyn Error>> {
    let words = &mut line.split_whitespace();
    let policy: Policy = next(words)?;
    let effort: Effort = next(words)?;
    let times: usize = next(words)?;
    let [num_replicas, num_groups, num_nodes, num_gpus] =
        [next(words)?, next(words)?, next(words)?, next(words)?];
    let layers = next(words)?;
    let num_experts = next(words)?;
    let sizes = Sizes { num_experts, num_replicas, num_groups, num_nodes, num_gpus };
    let given = Given {
        options: Options { policy, ..Options::minimax(effort) },
        topology: Topology::new(sizes)?,
        layers,
        tokens: words.map(str::parse).collect::<Result<_, _>>()?,
    };
    let mut digest = String::new();
    let mut nanoseconds = Vec::new();
    for _ in 0..times {
        let start = Instant::now();
        let made = black_box(measured(black_box(&given)));
        nanoseconds.push(start.elapsed().as_nanos());
        digest = made?.placement().digest();
    }
    Ok(format!("{{\"digest\": \"{digest}\", \"nanoseconds\": {nanoseconds:?}}}"))
}

fn main() -> Result<(), Box<dyn Error>> {
    for line in io::stdin().lock().lines() {
        println!("{}", answer(&line?)?);
        io::stdout().flush()?;
    }
    Ok(())
}
