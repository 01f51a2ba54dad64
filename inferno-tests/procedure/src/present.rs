//! Which must-support elements some resources have, together.

use serde_json::Value;

use crate::guide::{MustSupport, Supported};
use crate::http::text;
use crate::navigation::{DATA_ABSENT, in_slice, list, values};

/// What no resource has, by name; of several of which one will do, nothing if one is there.
pub(crate) fn missing(must: &MustSupport, resources: &[Value]) -> Vec<String> {
    let any = |has: &dyn Fn(&Value) -> bool| resources.iter().any(has);
    let elements: Vec<&Supported> =
        must.elements.iter().filter(|element| !any(&|one| populates(one, element, must))).collect();
    let extensions: Vec<&str> = must
        .extensions
        .iter()
        .filter(|extension| {
            !any(&|one| {
                values(one, &extension.path, must).iter().any(|one| text(one, "url") == Some(&extension.url))
            })
        })
        .map(|extension| extension.id.as_str())
        .collect();
    let slices = must.slices.iter().filter(|slice| {
        let is = |value: &Value| !is_absent(value) && in_slice(value, &slice.discriminator);
        !any(&|one| values(one, &slice.path, must).into_iter().any(is))
    });
    // Another of the choice is there.
    let is_chosen = |path: Option<&str>, extension: Option<&str>| {
        let of = must.choices.iter().find(|choice| {
            path.is_some_and(|path| choice.paths.contains(&path))
                || extension.is_some_and(|extension| choice.extensions.contains(&extension))
        });
        of.is_some_and(|choice| {
            choice.paths.iter().any(|path| !elements.iter().any(|one| one.path == *path))
                || choice.extensions.iter().any(|one| !extensions.contains(one))
        })
    };
    let missing_elements =
        elements.iter().filter(|one| !is_chosen(Some(&one.path), None)).map(|one| match &one.fixed {
            Some(fixed) => format!("{} = {fixed}", one.path),
            None => one.path.clone(),
        });
    let missing_extensions =
        extensions.iter().filter(|one| !is_chosen(None, Some(one))).map(|one| (*one).to_owned());
    missing_elements.chain(slices.map(|slice| slice.id.clone())).chain(missing_extensions).collect()
}

fn populates(resource: &Value, element: &Supported, must: &MustSupport) -> bool {
    let within = format!("{}.extension", element.path);
    let extensions: Vec<&str> =
        must.extensions.iter().filter(|one| one.path == within).map(|one| one.url.as_str()).collect();
    values(resource, &element.path, must).into_iter().any(|value| {
        let extended = || list(value.get("extension")).into_iter().filter_map(|one| text(one, "url"));
        let has_extension = extended().any(|url| extensions.contains(&url));
        let is_fixed = element.fixed.as_deref().is_none_or(|fixed| value.as_str() == Some(fixed));
        !is_absent(value) && (has_extension || is_something(value)) && is_fixed
    })
}

/// An element that says why it has no value.
fn is_absent(value: &Value) -> bool {
    list(value.get("extension")).into_iter().any(|one| text(one, "url") == Some(DATA_ABSENT))
}

fn is_something(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.keys().any(|name| name != "extension"),
        Value::String(text) => !text.is_empty(),
        Value::Array(all) => !all.is_empty(),
        Value::Null => false,
        Value::Bool(_) | Value::Number(_) => true,
    }
}
