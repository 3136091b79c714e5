//! Errors: what is wrong and where, what was expected, and a hint. The text is made when an error
//! is shown, so that each front end can spell the parameters in its own way.

use std::fmt;

/// The families of errors. Each is an exception class of its own in Python.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Something is wrong with the loads.
    Load,
    /// Something is wrong with the sizes, or they need more memory than there is.
    Topology,
    /// Something is wrong with an option.
    Option,
    /// A plan or its certificate is inconsistent, or a table is not a valid placement.
    Verification,
}

/// Where it is wrong, as far as that is known. Indices count from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// MoE layer, a row of the loads.
    pub layer: Option<usize>,
    /// Slot of the layer.
    pub slot: Option<usize>,
    /// Logical expert of the layer.
    pub expert: Option<usize>,
}

impl Place {
    /// A layer as a whole.
    #[must_use]
    pub fn layer(layer: usize) -> Self {
        Self { layer: Some(layer), ..Self::default() }
    }

    /// A slot of a layer.
    #[must_use]
    pub fn slot(layer: usize, slot: usize) -> Self {
        Self { slot: Some(slot), ..Self::layer(layer) }
    }

    /// An expert of a layer.
    #[must_use]
    pub fn expert(layer: usize, expert: usize) -> Self {
        Self { expert: Some(expert), ..Self::layer(layer) }
    }
}

impl fmt::Display for Place {
    /// `layer 3, slot 17, expert 5: `, as far as it is known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [("layer", self.layer), ("slot", self.slot), ("expert", self.expert)];
        let mut known = parts.into_iter().filter_map(|(name, index)| Some((name, index?)));
        if let Some((name, index)) = known.next() {
            write!(f, "{name} {index}")?;
            known.try_for_each(|(name, index)| write!(f, ", {name} {index}"))?;
            f.write_str(": ")?;
        }
        Ok(())
    }
}

/// A piece of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Words.
    Text(String),
    /// A parameter, and its value if the message gives one: `num_gpus=32`.
    Parameter {
        /// The name, as in [`crate::Sizes`] and [`crate::Options`].
        name: &'static str,
        /// The value as text.
        value: Option<String>,
    },
}

/// A parameter with a value.
pub(crate) fn parameter(name: &'static str, value: impl fmt::Display) -> Part {
    Part::Parameter { name, value: Some(value.to_string()) }
}

/// A parameter by name.
pub(crate) fn named(name: &'static str) -> Part {
    Part::Parameter { name, value: None }
}

/// A size of 0.
pub(crate) fn too_small(name: &'static str) -> Error {
    let problem = [parameter(name, 0), " is too small".into()];
    Error::new(ErrorKind::Topology, problem).expected("at least 1")
}

/// No thread to work on.
pub(crate) fn no_threads() -> Error {
    Error::new(ErrorKind::Option, [parameter("threads", 0), " is too small".into()])
        .expected("at least 1")
}

/// A size above its limit.
pub(crate) fn too_large(name: &'static str, size: u64, most: u64) -> Error {
    let problem = [parameter(name, size), " is too large".into()];
    Error::new(ErrorKind::Topology, problem).expected(format!("at most {most}"))
}

/// A name that is not one of those that an option takes.
pub(crate) fn unknown(option: &'static str, name: &str, known: &[&str]) -> Error {
    Error::new(ErrorKind::Option, ["unknown ".into(), named(option), format!(" {name:?}").into()])
        .expected(format!("one of {}", known.join(", ")))
}

/// An option with a value that is out of range.
pub(crate) fn out_of_range(
    name: &'static str,
    value: impl fmt::Display,
    expected: impl Into<String>,
) -> Error {
    let problem = [parameter(name, value), " is out of range".into()];
    Error::new(ErrorKind::Option, problem).expected(expected)
}

impl From<&str> for Part {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Part {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Parameter { name, value: Some(value) } => write!(f, "{name}={value}"),
            Self::Parameter { name, value: None } => f.write_str(name),
        }
    }
}

/// What is wrong with an input.
///
/// Shown as `place: problem; expected ...; hint`, without what is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(Box<Content>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Content {
    kind: ErrorKind,
    place: Place,
    problem: Vec<Part>,
    expected: String,
    hint: Vec<Part>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, problem: impl IntoIterator<Item = Part>) -> Self {
        Self(Box::new(Content {
            kind,
            place: Place::default(),
            problem: problem.into_iter().collect(),
            expected: String::new(),
            hint: Vec::new(),
        }))
    }

    /// One sentence, without parameters.
    pub(crate) fn text(kind: ErrorKind, problem: impl Into<String>) -> Self {
        Self::new(kind, [Part::Text(problem.into())])
    }

    /// A false statement of a plan, a certificate or a table.
    pub(crate) fn falsehood(place: Place, claim: impl Into<String>) -> Self {
        Self::text(ErrorKind::Verification, claim).at(place)
    }

    pub(crate) fn at(mut self, place: Place) -> Self {
        self.0.place = place;
        self
    }

    pub(crate) fn expected(mut self, expected: impl Into<String>) -> Self {
        self.0.expected = expected.into();
        self
    }

    pub(crate) fn hint(mut self, hint: impl IntoIterator<Item = Part>) -> Self {
        self.0.hint = hint.into_iter().collect();
        self
    }

    /// The family of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Layer, slot and expert, as far as they are known.
    #[must_use]
    pub fn place(&self) -> Place {
        self.0.place
    }

    /// The message without its hint: place, problem, what was expected.
    #[must_use]
    pub fn message(&self) -> Vec<Part> {
        let Content { place, problem, expected, .. } = &*self.0;
        let mut parts = Vec::with_capacity(problem.len() + 2);
        if *place != Place::default() {
            parts.push(place.to_string().into());
        }
        parts.extend_from_slice(problem);
        if !expected.is_empty() {
            parts.push(format!("; expected {expected}").into());
        }
        parts
    }

    /// What to do instead; empty if nothing is known.
    #[must_use]
    pub fn advice(&self) -> &[Part] {
        &self.0.hint
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.message().iter().try_for_each(|part| part.fmt(f))?;
        if !self.0.hint.is_empty() {
            f.write_str("; ")?;
        }
        self.0.hint.iter().try_for_each(|part| part.fmt(f))
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::{Error, ErrorKind, Place, named, parameter};

    #[test]
    fn a_message_has_place_problem_expectation_and_hint() {
        let error =
            Error::new(ErrorKind::Option, [parameter("threads", 0), " is too small".into()]);
        assert_eq!(error.to_string(), "threads=0 is too small");
        let error = error
            .at(Place { layer: Some(3), slot: Some(17), expert: Some(5) })
            .expected("at least 1")
            .hint(["leave out ".into(), named("threads")]);
        let text = "layer 3, slot 17, expert 5: threads=0 is too small; expected at least 1; \
                    leave out threads";
        assert_eq!(error.to_string(), text);
        assert_eq!(error.advice(), ["leave out ".into(), named("threads")]);
        assert_eq!(Place::expert(1, 2).to_string(), "layer 1, expert 2: ");
    }
}
