//! Compiles the expressions of one SearchParameter: its own, and those of a composite's components for the elements
//! that its own selects (<https://hl7.org/fhir/R4/search.html#composite>).

use std::sync::Arc;

use fhirpath::{Expression, Schema};
use rustc_hash::FxHashMap;

use crate::search_parameter::{Component, NoticeKind, SearchParameter, SearchParameterType};
use crate::table::{ComponentDefinition, SearchParameterDefinition};

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
        let expression = compile(self.schema, &[&parameter.base], &parameter.expression_text)?;
        let selected = expression.result_types();
        let selected: Vec<&str> = selected.iter().map(String::as_str).collect();
        let component = |component| self.component(&selected, component);
        if parameter.kind == SearchParameterType::Composite {
            parameter.components = definition.component.iter().map(component).collect::<Result<_, _>>()?;
        }
        parameter.expression = Some(expression);
        Ok(())
    }

    /// A component for elements of the types `selected`.
    fn component(&self, selected: &[&str], component: &ComponentDefinition) -> Result<Component, NoticeKind> {
        let unknown = || NoticeKind::UnknownComponent(component.definition.clone());
        let definition = self.definitions.get(component.definition.as_str()).ok_or_else(unknown)?;
        let kind = SearchParameterType::from_code(&definition.kind)
            .ok_or_else(|| NoticeKind::UnknownType(definition.kind.clone()))?;
        Ok(Component {
            code: definition.code.clone(),
            kind,
            expression: compile(self.schema, selected, &component.expression)?,
            targets: definition.target.clone(),
        })
    }
}

fn compile(schema: &Arc<Schema>, contexts: &[&str], text: &str) -> Result<Expression, NoticeKind> {
    Expression::compile_for(schema, contexts, text)
        .map_err(|error| NoticeKind::DoesNotCompile { text: text.to_owned(), error })
}
