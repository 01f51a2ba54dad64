//! Units, `http://unitsofmeasure.org` (<https://ucum.org/ucum>). Which there are is told by [`fhirpath`], which counts
//! with them.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::sync::Arc;

use fhirpath::expression::{canonical_unit, is_unit};

use super::Result;
use crate::terminology::code_system::{Concept, Content, Description};
use crate::terminology::model::{Property, PropertyDefinition};

pub(super) struct Units(Description);

impl Units {
    pub(super) fn new(mut description: Description) -> Units {
        let canonical = PropertyDefinition {
            code: "canonical".to_owned(),
            kind: "string".to_owned(),
            ..Default::default()
        };
        description.properties.push(canonical);
        Units(description)
    }
}

impl Content for Units {
    fn description(&self) -> &Description {
        &self.0
    }

    fn find(&self, code: &str) -> Result<Option<Arc<Concept>>> {
        let unit = plain(code);
        if !is_unit(&unit) {
            return Ok(None);
        }
        let property = |value| Property {
            code: "canonical".to_owned(),
            value_string: Some(value),
            ..Property::default()
        };
        let properties = canonical_unit(&unit).map(property).into_iter().collect();
        Ok(Some(Arc::new(Concept { properties, ..super::concept(code, None) })))
    }

    fn count(&self) -> Option<usize> {
        None
    }

    fn each(&self, _: &mut dyn FnMut(&Arc<Concept>) -> ControlFlow<()>) -> Result<()> {
        Ok(())
    }
}

/// A unit as the grammar of UCUM has it. FHIR's own list of common units has annotations with spaces, `{2 or 3 times}/d`,
/// and behind brackets, `U/(10.g){feces}`.
fn plain(code: &str) -> Cow<'_, str> {
    if !code.contains('{') {
        return Cow::Borrowed(code);
    }
    let (mut plain, mut is_inside, mut is_left_out) = (String::with_capacity(code.len()), false, false);
    for character in code.chars() {
        if character == '{' && !is_inside {
            is_inside = true;
            is_left_out = plain.ends_with(')');
        }
        if !is_left_out {
            plain.push(if is_inside && character == ' ' { '_' } else { character });
        }
        if character == '}' {
            (is_inside, is_left_out) = (false, false);
        }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        let units = Units::new(Description::default());
        let check = |code: &str, expected: bool| {
            assert_eq!(units.find(code).unwrap().is_some(), expected, "{code}");
        };
        for good in
            ["mg/dL", "10*3/uL", "[pH]", "dB", "{score}", "{2 or 3 times}/d", "U/(10.g){feces}", "%", "1"]
        {
            check(good, true);
        }
        for bad in ["", "mg/", "furlong", "{open", "mg dL", "(", "Mg/DL"] {
            check(bad, false);
        }
    }
}
