//! Parameters of a URL or a form (`application/x-www-form-urlencoded`), decoded.

use fhirpath::{Issue, IssueType};

use super::refusal::Refusal;

/// The parameters of a request: those of the transport apart, the others in the order received.
#[derive(Debug, Default)]
pub struct Parameters {
    /// `_format`, as it was sent.
    pub format: Option<String>,
    /// `_pretty=true`.
    pub pretty: bool,
    /// All others, decoded.
    pub others: Vec<(String, String)>,
}

impl Parameters {
    /// Reads the query of a URL.
    ///
    /// # Errors
    /// 400 for a broken escape, text that is not UTF-8, or a bad `_pretty`.
    pub fn read(query: Option<&str>) -> Result<Parameters, Refusal> {
        let mut parameters = Parameters::default();
        if let Some(query) = query {
            parameters.add(query.as_bytes())?;
        }
        Ok(parameters)
    }

    /// Adds those of a form.
    ///
    /// # Errors
    /// Those of [`Parameters::read`].
    pub fn add(&mut self, form: &[u8]) -> Result<(), Refusal> {
        for pair in form.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            let name = text(halves.next().unwrap_or_default(), "a parameter's name")?;
            let value = text(halves.next().unwrap_or_default(), &name)?;
            match name.as_str() {
                "_format" => self.format = Some(value),
                "_pretty" => self.pretty = boolean(&value)?,
                _ => self.others.push((name, value)),
            }
        }
        Ok(())
    }

    /// The pairs of a form or a query, none of them the transport's.
    ///
    /// # Errors
    /// 400 for a broken escape or text that is not UTF-8.
    pub fn pairs(form: &[u8]) -> Result<Vec<(String, String)>, Refusal> {
        let pairs = form.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
        let read = pairs.map(|pair| {
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            let name = text(halves.next().unwrap_or_default(), "a parameter's name")?;
            let value = text(halves.next().unwrap_or_default(), "a parameter's value")?;
            Ok((name, value))
        });
        read.collect()
    }

    /// Refuses every parameter but those named.
    ///
    /// # Errors
    /// 400, an issue for each.
    pub fn only(&self, allowed: &[&str], what: &str) -> Result<(), Refusal> {
        let issues: Vec<Issue> = self
            .others
            .iter()
            .filter(|(name, _)| !allowed.contains(&name.as_str()))
            .map(|(name, _)| {
                let details = format!("The parameter {name} is not known for {what}.");
                Issue::error(IssueType::NotSupported, details).at(format!("http.{name}"))
            })
            .collect();
        if issues.is_empty() { Ok(()) } else { Err(Refusal::bad_request(issues)) }
    }
}

fn boolean(text: &str) -> Result<bool, Refusal> {
    match text {
        "true" | "" => Ok(true),
        "false" => Ok(false),
        _ => {
            let issue = Issue::error(IssueType::Value, "_pretty takes true or false.").at("http._pretty");
            Err(Refusal::bad_request(vec![issue]))
        }
    }
}

fn text(encoded: &[u8], name: &str) -> Result<String, Refusal> {
    let refuse = || {
        let details = format!(
            "The URL encoding of {name} is broken: % is followed by two hexadecimal digits, and the bytes are UTF-8."
        );
        Refusal::bad_request(vec![Issue::error(IssueType::Invalid, details)])
    };
    let mut out = Vec::with_capacity(encoded.len());
    let mut bytes = encoded.iter().copied();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = bytes.next().and_then(hex).ok_or_else(refuse)?;
                let low = bytes.next().and_then(hex).ok_or_else(refuse)?;
                high * 16 + low
            }
            other => other,
        });
    }
    String::from_utf8(out).map_err(|_| refuse())
}

/// The value of a hexadecimal digit.
pub fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Appends a text URL-encoded, as a query's name or value.
pub fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z'
            | b'a'..=b'z'
            | b'0'..=b'9'
            | b'-'
            | b'.'
            | b'_'
            | b'~'
            | b':'
            | b'/'
            | b','
            | b'$'
            | b'|'
            | b'*' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoded_in_order() {
        let parameters =
            Parameters::read(Some("name=O%27Brien+x&&_pretty=true&code:not=a%7Cb&flag&_format=json"))
                .unwrap();
        let pairs: Vec<(&str, &str)> =
            parameters.others.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(pairs, [("name", "O'Brien x"), ("code:not", "a|b"), ("flag", "")]);
        assert!(parameters.pretty);
        assert_eq!(parameters.format.as_deref(), Some("json"));
    }

    #[test]
    fn faults_are_named() {
        let check = |query: &str, details: &str| {
            let refusal = Parameters::read(Some(query)).unwrap_err();
            assert_eq!(refusal.issues.first().map(|issue| issue.details.as_str()), Some(details), "{query}");
        };
        let broken = |name: &str| {
            format!(
                "The URL encoding of {name} is broken: % is followed by two hexadecimal digits, and the bytes are UTF-8."
            )
        };
        check("name=%4", &broken("name"));
        check("name=%ff", &broken("name"));
        check("%zz=1", &broken("a parameter's name"));
        check("_pretty=yes", "_pretty takes true or false.");
    }

    #[test]
    fn encoding_is_undone_by_decoding() {
        let text_in = "a b&c=d+é%|$,:";
        let mut encoded = String::new();
        encode(text_in, &mut encoded);
        assert_eq!(text(encoded.as_bytes(), "x").unwrap(), text_in);
    }
}
