//! No text ends the process or takes memory beyond its bound: mutations of valid JSON, and random bytes.

use super::{json, valid};
use crate::fixture::schema;
use crate::tree::{Element, Limits, Subset, Tree};

const SEEDS: [&str; 3] = [
    r#"{"resourceType":"Patient","id":"a","meta":{"tag":[{"code":"x"}]},"contained":[{"resourceType":"Patient","id":"c"}],"active":true,"_active":{"id":"q"},"name":[{"family":"O\"B\u00e9\ud83d\ude00","given":["a",null],"_given":[null,{"extension":[{"url":"u","valueDecimal":1.10}]}]}],"birthDate":"2020-02-29"}"#,
    r#"{"resourceType":"Observation","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"1-8"}]},"valueQuantity":{"value":-1.5e3,"unit":"mg"},"component":[{"code":{"text":"a"},"valueInteger":7},{"code":{"text":"b"},"valueString":"x"}]}"#,
    r#"{"resourceType":"Bundle","type":"batch","total":3,"entry":[{"fullUrl":"urn:uuid:0","resource":{"active":false,"resourceType":"Patient"}},{"resource":{"resourceType":"Questionnaire","status":"draft","item":[{"linkId":"1","item":[{"linkId":"2"}]}]}}]}"#,
];

/// What a mutation puts in: pieces that mean something to JSON or to FHIR.
const PIECES: [&[u8]; 26] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"\\",
    b":",
    b",",
    b"null",
    b"true",
    b"0",
    b"-",
    b"1e999",
    b"\\u0000",
    b"\\ud800",
    b"\xFF",
    b"\xC3",
    b"\n",
    b" ",
    b"_",
    b"[[[[[[[[",
    b"{\"a\":",
    b"\"resourceType\":",
    b"\"_given\":[null]",
    b"99999999999999999999",
    b"\"extension\":[{\"url\":\"x\"}],",
];

/// Xorshift: a test that fails, fails again.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % end.max(1)
    }
}

fn mutate(text: &mut Vec<u8>, pieces: &[&[u8]], random: &mut Random) {
    let at = random.below(text.len() + 1);
    let end = (at + random.below(12)).min(text.len());
    match random.below(5) {
        0 => drop(text.drain(at..end)),
        1 => drop(text.splice(at..at, pieces[random.below(pieces.len())].iter().copied())),
        2 => drop(text.splice(at..end, pieces[random.below(pieces.len())].iter().copied())),
        3 => {
            let from = random.below(text.len() + 1);
            let piece = text[from..(from + random.below(40)).min(text.len())].to_vec();
            drop(text.splice(at..at, piece));
        }
        _ => {
            if let Some(byte) = text.get_mut(at) {
                *byte = u8::try_from(random.below(256)).unwrap();
            }
        }
    }
}

const XML_SEEDS: [&str; 3] = [
    r#"<?xml version="1.0" encoding="UTF-8"?><Patient xmlns="http://hl7.org/fhir"><id value="a"/><text><status value="generated"/><div xmlns="http://www.w3.org/1999/xhtml"><p class='x'>a &amp; b<br/></p><!-- c --></div></text><contained><Patient><id value="c"/></Patient></contained><active value="true" id="q"/><name><family value="O&quot;B&#xE9;&#128512;\"/><given value='a'/><given><extension url="u"><valueDecimal value="1.10"/></extension></given></name><birthDate value="2020-02-29"/></Patient>"#,
    r#"<f:Observation xmlns:f="http://hl7.org/fhir" xmlns="http://www.w3.org/1999/xhtml"><f:text><f:status value="generated"/><div>x<b title="y">z</b></div></f:text><f:status value="final"/><f:code><f:coding><f:system value="http://loinc.org"/><f:code value="1-8"/></f:coding></f:code><f:valueQuantity><f:value value="-1.5e3"/></f:valueQuantity></f:Observation>"#,
    r#"<Bundle xmlns="http://hl7.org/fhir"><type value="batch"/><total value="3"/><entry><fullUrl value="urn:uuid:0"/><resource><Patient><active value="false"/></Patient></resource></entry><entry><resource><Questionnaire><status value="draft"/><item><linkId value="1"/><item><linkId value="2"/></item></item></Questionnaire></resource></entry></Bundle>"#,
];

/// What a mutation puts in: pieces that mean something to XML or to FHIR.
const XML_PIECES: [&[u8]; 26] = [
    b"<",
    b">",
    b"</",
    b"/>",
    b"\"",
    b"'",
    b"=",
    b"&",
    b"&lt;",
    b"&#0;",
    b"&#xD800;",
    b"&x;",
    b":",
    b"\xFF",
    b"\xC3",
    b"\n",
    b" ",
    b"<!--",
    b"-->",
    b"<?x?>",
    b"<![CDATA[",
    b"]]>",
    b"<!DOCTYPE a [<!ENTITY b \"cc\">]>",
    b" xmlns=\"urn:x\"",
    b" xmlns:f=\"http://hl7.org/fhir\"",
    b"<extension url=\"x\"><valueCode value=\"y\"/></extension>",
];

/// Parses XML; what is accepted gives the same JSON whether it is written as JSON or as XML.
fn survive_xml(text: &[u8]) -> bool {
    let shown = String::from_utf8_lossy(text);
    let mut tree = match Tree::parse_xml(&schema_once(), text.to_vec(), &Limits::DEFAULT) {
        Ok(tree) => tree,
        Err(issues) => {
            assert!(!issues.is_empty() && issues.len() <= Limits::DEFAULT.issues, "{shown}");
            return false;
        }
    };
    assert!(tree.memory() < 1024 + 32 * text.len(), "{shown}: {} bytes held", tree.memory());
    let written = json(&tree);
    assert_eq!(json(&valid(&written)), written, "{shown}");
    let mut xml = Vec::new();
    tree.write_xml(&mut xml).unwrap_or_else(|issue| panic!("{shown}: {issue:?}"));
    let again = Tree::parse_xml(&schema_once(), xml, &Limits::DEFAULT);
    assert_eq!(json(&again.unwrap_or_else(|issues| panic!("{shown}: {issues:?}"))), written, "{shown}");
    tree.set_meta("2", "2026-01-01T00:00:00Z");
    assert!(tree.descendants().all(|element| element.position().is_none_or(|(line, _)| line > 0)));
    true
}

/// Parses; what is accepted is written, read, changed and cut without harm.
fn survive(text: &[u8]) -> bool {
    let shown = String::from_utf8_lossy(text);
    let mut tree = match Tree::parse_json(&schema_once(), text.to_vec(), &Limits::DEFAULT) {
        Ok(tree) => tree,
        Err(issues) => {
            assert!(!issues.is_empty() && issues.len() <= Limits::DEFAULT.issues, "{shown}");
            return false;
        }
    };
    assert!(tree.memory() < 1024 + 32 * text.len(), "{shown}: {} bytes held", tree.memory());
    let written = json(&tree);
    assert_eq!(json(&valid(&written)), written, "{shown}");
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&written).unwrap(),
        serde_json::from_slice::<serde_json::Value>(text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text))
            .unwrap(),
        "{shown}"
    );
    let inner: Vec<u32> = tree.descendants().filter(|e| e.is_resource()).map(Element::node_id).collect();
    for node in inner {
        let element = tree.element(node).unwrap();
        let mut alone = Vec::new();
        element.write_json(&mut alone);
        assert_eq!(json(&tree.extract(element).unwrap()).as_bytes(), alone);
    }
    tree.set_meta("2", "2026-01-01T00:00:00Z");
    tree.set_id("new");
    assert_eq!(valid(&json(&tree)).id().as_deref(), Some("new"));
    let mut part = Vec::new();
    tree.write_subset(&Subset::Summary, &mut part);
    valid(&String::from_utf8(part).unwrap());
    true
}

fn schema_once() -> std::sync::Arc<crate::Schema> {
    static SCHEMA: std::sync::OnceLock<std::sync::Arc<crate::Schema>> = std::sync::OnceLock::new();
    std::sync::Arc::clone(SCHEMA.get_or_init(schema))
}

#[test]
fn mutations_of_valid_json() {
    let mut random = Random(0x5EED_0000_0000_0001);
    let (mut accepted, mut refused) = (0, 0);
    for seed in SEEDS {
        assert!(survive(seed.as_bytes()));
        for _ in 0..6_000 {
            let mut text = seed.as_bytes().to_vec();
            for _ in 0..=random.below(4) {
                mutate(&mut text, &PIECES, &mut random);
            }
            *if survive(&text) { &mut accepted } else { &mut refused } += 1;
        }
    }
    assert!(accepted > 200 && refused > 5_000, "{accepted} accepted, {refused} refused: both are wanted");
}

#[test]
fn mutations_of_valid_xml() {
    let mut random = Random(0x5EED_0000_0000_0003);
    let (mut accepted, mut refused) = (0, 0);
    for seed in XML_SEEDS {
        assert!(survive_xml(seed.as_bytes()));
        for _ in 0..4_000 {
            let mut text = seed.as_bytes().to_vec();
            for _ in 0..=random.below(4) {
                mutate(&mut text, &XML_PIECES, &mut random);
            }
            *if survive_xml(&text) { &mut accepted } else { &mut refused } += 1;
        }
        for end in 0..seed.len() {
            assert!(!survive_xml(&seed.as_bytes()[..end]));
        }
    }
    assert!(accepted > 200 && refused > 5_000, "{accepted} accepted, {refused} refused: both are wanted");
}

#[test]
fn xml_that_would_exhaust_memory_or_a_stack() {
    let patient = |content: &str| format!("<Patient xmlns=\"http://hl7.org/fhir\">{content}");
    let entities =
        (1..20).map(|n| format!("<!ENTITY e{n} \"&e{};&e{};\">", n - 1, n - 1)).collect::<String>();
    let declarations = (0..60).map(|n| format!(" xmlns:p{n}=\"urn:{n}\"")).collect::<String>();
    for text in [
        format!(
            "<!DOCTYPE x [<!ENTITY e0 \"aaaa\">{entities}]>{}",
            patient("<active value=\"&e19;\"/></Patient>")
        ),
        format!("<!DOCTYPE x SYSTEM \"file:///etc/passwd\">{}", patient("</Patient>")),
        "<a>".repeat(200_000),
        patient(&"<contained><Patient>".repeat(100_000)),
        patient(&"<extension url=\"x\">".repeat(100_000)),
        patient(&"<x>".repeat(200_000)),
        patient(&"<text><div xmlns=\"http://www.w3.org/1999/xhtml\">".repeat(50_000)),
        patient(&format!("<text><div xmlns=\"http://www.w3.org/1999/xhtml\">{}", "<p>".repeat(200_000))),
        patient(&format!("<active {}/></Patient>", "a=\"b\" ".repeat(200_000))),
        patient(&format!("<active {}=\"b\"/></Patient>", "a".repeat(1_000_000))),
        patient(&format!("<active value=\"{}\"/></Patient>", "&amp;".repeat(400_000))),
        patient(&format!("<extension url=\"x\"{declarations}>").repeat(50)),
        patient(&format!("<!--{}", "-".repeat(1_000_000))),
        patient(&"&".repeat(1_000_000)),
        patient(&"]]>".repeat(100_000)),
    ] {
        assert!(!survive_xml(text.as_bytes()));
    }
}

#[test]
fn every_beginning_of_valid_json() {
    for seed in SEEDS {
        for end in 0..seed.len() {
            assert!(!survive(&seed.as_bytes()[..end]));
        }
    }
}

#[test]
fn random_bytes_and_pieces() {
    let mut random = Random(0x5EED_0000_0000_0002);
    for _ in 0..5_000 {
        let length = random.below(200);
        let bytes: Vec<u8> = (0..length).map(|_| u8::try_from(random.below(256)).unwrap()).collect();
        survive(&bytes);
        let mut text = b"{\"resourceType\":\"Patient\",".to_vec();
        for _ in 0..random.below(30) {
            text.extend_from_slice(PIECES[random.below(PIECES.len())]);
        }
        survive(&text);
    }
}

#[test]
fn nesting_that_would_exhaust_a_stack() {
    for piece in ["[", "{\"a\":", "{\"resourceType\":\"Patient\",\"contained\":[", "{\"extension\":["] {
        let text = format!("{{\"resourceType\":\"Patient\",\"contained\":[{}", piece.repeat(200_000));
        assert!(!survive(text.as_bytes()));
    }
}

#[test]
fn resource_types_that_come_last_in_nested_resources() {
    // Each level looks ahead over all that are inside it: bounded by the depth.
    let levels = 33;
    let open = r#"{"type":"batch","entry":[{"resource":"#.repeat(levels);
    let close = r#"}],"resourceType":"Bundle"}"#.repeat(levels);
    let filler = format!(r#"{{"id":"{}","resourceType":"Patient"}}"#, "x".repeat(60));
    assert!(survive(format!("{open}{filler}{close}").as_bytes()));
}
