//! The versions of US Core of which one is run on (<https://hl7.org/fhir/us/core/history.html>).

/// A version of US Core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum UsCore {
    /// 6.1.0, of USCDI v3: what is run on where nothing else is said.
    #[default]
    V6_1_0,
    /// 7.0.0, of USCDI v4.
    V7_0_0,
    /// 8.0.0, of USCDI v5.
    V8_0_0,
}

/// The tables of a version in the program, under `ig/`.
pub(crate) struct Tables {
    /// The name of the first.
    pub(crate) name: &'static str,
    /// What [`crate::table`] describes.
    pub(crate) definitions: &'static str,
    /// StructureDefinitions.
    pub(crate) profiles: &'static str,
    /// Code systems and value sets.
    pub(crate) terminology: &'static str,
}

macro_rules! tables {
    ($name:literal) => {
        Tables {
            name: concat!($name, ".jsonl"),
            definitions: include_str!(concat!("../../ig/", $name, ".jsonl")),
            profiles: include_str!(concat!("../../ig/", $name, ".profiles.jsonl")),
            terminology: include_str!(concat!("../../ig/", $name, ".terminology.jsonl")),
        }
    };
}

impl UsCore {
    pub(crate) fn tables(self) -> Tables {
        match self {
            UsCore::V6_1_0 => tables!("us-core-6.1.0"),
            UsCore::V7_0_0 => tables!("us-core-7.0.0"),
            UsCore::V8_0_0 => tables!("us-core-8.0.0"),
        }
    }

    /// All, from the oldest.
    pub const ALL: [UsCore; 3] = [UsCore::V6_1_0, UsCore::V7_0_0, UsCore::V8_0_0];

    /// `6.1.0`.
    pub fn version(self) -> &'static str {
        match self {
            UsCore::V6_1_0 => "6.1.0",
            UsCore::V7_0_0 => "7.0.0",
            UsCore::V8_0_0 => "8.0.0",
        }
    }

    /// The one of a version: `7.0.0`.
    pub fn of_version(version: &str) -> Option<UsCore> {
        UsCore::ALL.into_iter().find(|it| it.version() == version)
    }
}

impl std::fmt::Display for UsCore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.version())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_they_are_written() {
        for it in UsCore::ALL {
            assert_eq!(UsCore::of_version(&it.to_string()), Some(it));
        }
        assert_eq!(UsCore::of_version("5.0.1"), None);
        assert!(UsCore::ALL.is_sorted());
    }
}
