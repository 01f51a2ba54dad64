//! Units, `http://unitsofmeasure.org` (<https://ucum.org/ucum>). Which there are is told by [`fhirpath`], which counts
//! with them.

use std::ops::ControlFlow;
use std::sync::Arc;

use fhirpath::expression::canonical_unit;

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
        let Some(canonical) = canonical_unit(code) else { return Ok(None) };
        let canonical =
            Property { code: "canonical".to_owned(), value_string: Some(canonical), ..Property::default() };
        Ok(Some(Arc::new(Concept { properties: vec![canonical], ..super::concept(code, None) })))
    }

    fn len(&self) -> Option<usize> {
        None
    }

    fn each(&self, _: &mut dyn FnMut(&Arc<Concept>) -> ControlFlow<()>) -> Result<()> {
        Ok(())
    }
}
