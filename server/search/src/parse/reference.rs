//! Reference values (<https://hl7.org/fhir/R4/search.html#reference>): `id`, `Type/id`, an absolute URL.

use fhirpath::primitive::is_id;

use super::Reader;
use super::fault::{Fault, shown};
use super::split::unescape;
use crate::reference::{is_absolute, target};

impl<'a> Reader<'a> {
    /// The targets a value may mean: an id stands for one of each type that the parameter may point to (`targets`), or of
    /// the type its modifier names (`of_type`).
    pub(super) fn reference(
        &self,
        text: &str,
        targets: &'a [String],
        of_type: Option<&str>,
    ) -> Result<Vec<Box<str>>, Fault> {
        let text = unescape(text);
        if is_id(&text) {
            return self.of_each_type(&text, targets, of_type);
        }
        let index = self.context.index;
        let Some(found) = target(&index.definitions().schema, index.bases(), &text) else {
            return Err(Fault::value(format!("{} is not an id, Type/id or an absolute URL.", shown(&text))));
        };
        match (of_type, found.split_once('/')) {
            (Some(name), Some((other, _))) if !is_absolute(found) && other != name => Err(Fault::value(
                format!("{} is not a reference to {name}, which the modifier asks for.", shown(&text)),
            )),
            _ => {
                self.charge(1)?;
                Ok(vec![found.into()])
            }
        }
    }

    fn of_each_type(
        &self,
        id: &str,
        targets: &'a [String],
        of_type: Option<&str>,
    ) -> Result<Vec<Box<str>>, Fault> {
        if let Some(name) = of_type {
            self.charge(1)?;
            return Ok(vec![format!("{name}/{id}").into()]);
        }
        let types = self.target_types(targets);
        self.charge(types.len())?;
        Ok(types.iter().map(|name| format!("{name}/{id}").into()).collect())
    }

    /// The types that a reference parameter may point to; all of them when it names none or `Resource`.
    pub(super) fn target_types(&self, targets: &'a [String]) -> &'a [String] {
        let any = targets.is_empty() || targets.iter().any(|name| name == "Resource");
        if any { self.definitions().resource_types() } else { targets }
    }
}
