//! Logic of three values (<https://hl7.org/fhirpath/N1/#boolean-logic>).

use super::super::ast::Operator;
use super::super::evaluate::{Machine, Result, Scope};
use super::super::program::Code;

/// The result of `and`, `or`, `xor` or `implies`. The right side is not asked when the left decides.
pub(in super::super) fn logic<'t>(
    machine: &Machine<'t>,
    operator: Operator,
    left: &Code,
    right: &Code,
    scope: &Scope<'_, 't>,
) -> Result<Option<bool>> {
    let decided = match operator {
        Operator::And => Some(false),
        Operator::Or => Some(true),
        _ => None,
    };
    let left = machine.test(left, scope)?;
    if decided.is_some() && left == decided {
        return Ok(decided);
    }
    if operator == Operator::Implies && left == Some(false) {
        return Ok(Some(true));
    }
    let right = machine.test(right, scope)?;
    Ok(match operator {
        Operator::And | Operator::Or if right == decided => decided,
        Operator::And | Operator::Or => left.and(right),
        Operator::Implies if right == Some(true) => Some(true),
        Operator::Implies => left.and(right),
        _ => left.zip(right).map(|(left, right)| left != right),
    })
}
