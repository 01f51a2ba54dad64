//! Compiles the expressions of one SearchParameter: its own, and those of a composite's components for the elements
//! that its own selects (<https://hl7.org/fhir/R4/search.html#composite>).

use std::sync::Arc;

use fhirpath::{Expression, Schema};
use rustc_hash::FxHashMap;

use crate::search_parameter::{Component, NoticeKind, SearchParameter, SearchParameterType};
use crate::table::SearchParameterDefinition;

/// Composites of R4 whose components have each other's definition: `relationship` selects `code` for the reference
/// parameter `relatesto`, and `target` for the token parameter `relation`. The order of a query's values is that of the
/// expressions: `relationship=replaces$DocumentReference/1`.
const SWAPPED_DEFINITIONS: [&str; 1] = ["http://hl7.org/fhir/SearchParameter/DocumentReference-relationship"];

/// What expressions are compiled with.
pub(crate) struct Expressions<'d> {
    pub(crate) schema: &'d Arc<Schema>,
    /// All packages' definitions; of one URL the first.
    pub(crate) definitions: FxHashMap<&'d str, &'d SearchParameterDefinition>,
}

impl Expressions<'_> {
    /// Compiles what `definition` says into `parameter`. When a part does not compile the parameter stays without
    /// expression and components, as it would give wrong answers with some.
    pub(crate) fn compile_into(
        &self,
        parameter: &mut SearchParameter,
        definition: &SearchParameterDefinition,
    ) -> Result<(), NoticeKind> {
        if parameter.expression_text.is_empty() {
            return Ok(());
        }
        let mut expression = compile(self.schema, &[&parameter.base], &parameter.expression_text)?;
        if expression.result_types() == ["Extension"] {
            // Parameters of extensions (`Patient?mothersMaidenName`) select the extension and mean its value: no type
            // of parameter has extensions as values.
            parameter.expression_text = format!("({}).value", parameter.expression_text);
            expression = compile(self.schema, &[&parameter.base], &parameter.expression_text)?;
        }
        if parameter.kind == SearchParameterType::Composite {
            parameter.components = self.components(&expression.result_types(), definition)?;
        }
        parameter.expression = Some(expression);
        Ok(())
    }

    /// The components for elements of the types `selected`.
    fn components(
        &self,
        selected: &[String],
        definition: &SearchParameterDefinition,
    ) -> Result<Vec<Component>, NoticeKind> {
        let selected: Vec<&str> = selected.iter().map(String::as_str).collect();
        let mut definitions: Vec<&str> =
            definition.component.iter().map(|it| it.definition.as_str()).collect();
        if SWAPPED_DEFINITIONS.contains(&definition.url.as_str()) {
            definitions.reverse();
        }
        let expressions = definition.component.iter().map(|it| it.expression.as_str());
        let pairs = definitions.iter().zip(expressions);
        pairs.map(|(url, expression)| self.component(&selected, url, expression)).collect()
    }

    fn component(&self, selected: &[&str], url: &str, expression: &str) -> Result<Component, NoticeKind> {
        let unknown = || NoticeKind::UnknownComponent(url.to_owned());
        let definition = self.definitions.get(url).ok_or_else(unknown)?;
        let kind = SearchParameterType::from_code(&definition.kind)
            .ok_or_else(|| NoticeKind::UnknownType(definition.kind.clone()))?;
        Ok(Component {
            code: definition.code.clone(),
            kind,
            expression: compile(self.schema, selected, expression)?,
            targets: definition.target.clone(),
        })
    }
}

fn compile(schema: &Arc<Schema>, contexts: &[&str], text: &str) -> Result<Expression, NoticeKind> {
    Expression::compile_for(schema, contexts, text)
        .map_err(|error| NoticeKind::DoesNotCompile { text: text.to_owned(), error })
}
