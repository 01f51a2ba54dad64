//! What each kind of value means, case by case: a resource, and queries that must or must not find it.

mod naive;

use naive::{NOW, Naive, Stored, read};
use search::Handling;

/// `semantics.txt`: a line that begins with `{` is a resource (of several in a row, the first is searched and the others are
/// what it points to), `+ query` must find it, `- query` must not, `#` is a comment.
#[test]
fn cases() {
    let text = include_str!("semantics.txt");
    let (mut all, mut queried) = (Naive::default(), true);
    let (mut cases, mut wrong) = (0, Vec::new());
    for (number, line) in (1..).zip(text.lines()) {
        match line.as_bytes() {
            [] | [b'#', ..] => {}
            [b'{', ..] => {
                if std::mem::take(&mut queried) {
                    all.retain(|_| false);
                }
                all.put(Stored::new(line.as_bytes(), NOW));
            }
            [sign @ (b'+' | b'-'), b' ', ..] => {
                queried = true;
                cases += 1;
                let query = &line[2..];
                let subject = all.all().first().expect("a resource stands before its queries");
                let full = match query.split_once('?') {
                    Some(_) => query.to_owned(),
                    None => format!("{}?{query}", subject.resource_type),
                };
                match read(&full, Handling::Strict) {
                    Ok(request) if all.holds(&request.query.filter, subject) == (*sign == b'+') => {}
                    Ok(request) => wrong.push(format!("line {number}: {line}\n  {:?}", request.query.filter)),
                    Err(issues) => wrong.push(format!("line {number}: {line}\n  {issues:?}")),
                }
            }
            _ => panic!("line {number} is none of the forms: {line}"),
        }
    }
    assert!(wrong.is_empty(), "{} of {cases} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(cases > 200, "only {cases} cases were read");
}
