use super::{json, valid};
use crate::fixture::schema;
use crate::issue::{Issue, IssueType};
use crate::tree::{Limits, Tree};

use IssueType::{Invalid, NotSupported, Structure, TooCostly, TooLong, Value};

const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";

fn parse(text: &[u8]) -> Result<Tree, Vec<Issue>> {
    Tree::parse_xml(&schema(), text.to_vec(), &Limits::DEFAULT)
}

fn xml(tree: &Tree) -> Result<String, Issue> {
    let mut out = Vec::new();
    tree.write_xml(&mut out)?;
    Ok(String::from_utf8(out).expect("UTF-8"))
}

/// A Patient of some content, and its JSON.
fn same(content: &str, members: &str) {
    let text = format!("{HEAD}<Patient xmlns=\"http://hl7.org/fhir\">{content}</Patient>");
    let tree = parse(text.as_bytes()).unwrap_or_else(|issues| panic!("{text}: {issues:#?}"));
    assert_eq!(json(&tree), format!("{{\"resourceType\":\"Patient\",{members}}}"), "{text}");
    let written = xml(&tree).unwrap_or_else(|issue| panic!("{text}: {issue:?}"));
    assert_eq!(json(&parse(written.as_bytes()).expect("what was written")), json(&tree), "{text}");
}

/// What is written just as it is read.
fn canonical(content: &str, members: &str) {
    same(content, members);
    let tree = valid(&format!("{{\"resourceType\":\"Patient\",{members}}}"));
    let expected = format!("{HEAD}<Patient xmlns=\"http://hl7.org/fhir\">{content}</Patient>");
    assert_eq!(xml(&tree).as_ref(), Ok(&expected));
}

#[test]
fn elements_and_attributes() {
    canonical("<id value=\"a\"/><active value=\"true\"/>", r#""id":"a","active":true"#);
    canonical(
        "<name id=\"n\"><family value=\"x\"/><given value=\"a\"/><given id=\"g\"/><given id=\"h\" value=\"b\"><extension url=\"u\"><valueDecimal value=\"1.10\"/></extension></given></name>",
        r#""name":[{"id":"n","family":"x","given":["a",null,"b"],"_given":[null,{"id":"g"},{"id":"h","extension":[{"url":"u","valueDecimal":1.10}]}]}]"#,
    );
    canonical(
        "<extension id=\"e\" url=\"u\"><extension url=\"v\"><valueBoolean value=\"false\"/></extension></extension>",
        r#""extension":[{"id":"e","extension":[{"url":"v","valueBoolean":false}],"url":"u"}]"#,
    );
    canonical(
        "<contained><Patient><id value=\"c\"/></Patient></contained><contained><Observation><status value=\"final\"/><valueQuantity><value value=\"-1.50e3\"/></valueQuantity></Observation></contained><deceasedDateTime value=\"2020\"/>",
        r#""contained":[{"resourceType":"Patient","id":"c"},{"resourceType":"Observation","status":"final","valueQuantity":{"value":-1.50e3}}],"deceasedDateTime":"2020""#,
    );
    same("<active value='true'><!-- c --><?p i?>\n</active >", r#""active":true"#);
    assert_eq!(
        json(&parse(b"<Patient xmlns=\"http://hl7.org/fhir\"/>").unwrap()),
        r#"{"resourceType":"Patient"}"#
    );
}

#[test]
fn texts() {
    canonical(
        "<name><family value=\"&amp;&lt;&quot;'>\\é&#xA;&#x9;&#xD; \"/></name>",
        r#""name":[{"family":"&<\"'>\\é\n\t\r "}]"#,
    );
    same(
        "<name><family value='&#65;&#x42;\"&apos;a\nb\tc\\'/></name>",
        r#""name":[{"family":"AB\"'a b c\\"}]"#,
    );
    same("<active value=\"tr&#117;e\"/>", r#""active":true"#);
    same("<birthDate value=\"20&#50;0\"/>", r#""birthDate":"2020""#);
}

#[test]
fn namespaces() {
    let json_of =
        |text: &str| json(&parse(text.as_bytes()).unwrap_or_else(|issues| panic!("{text}: {issues:#?}")));
    let div = |inner: &str| {
        format!(
            r#"{{"resourceType":"Patient","text":{{"status":"generated","div":"{}"}}}}"#,
            inner.replace('"', "\\\"")
        )
    };
    let xhtml = "xmlns=\"http://www.w3.org/1999/xhtml\"";
    for (text, expected) in [
        (
            "<f:Patient xmlns:f=\"http://hl7.org/fhir\"><f:active value=\"true\"/></f:Patient>".to_owned(),
            r#"{"resourceType":"Patient","active":true}"#.to_owned(),
        ),
        (
            "\u{FEFF}<?xml version='1.0'?>\n<!-- c --><Patient xmlns=\"http://hl7.org/fhir\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:schemaLocation=\"http://hl7.org/fhir a.xsd\"><active xmlns=\"http://hl7.org/fhir\" value=\"true\"/></Patient>\n".to_owned(),
            r#"{"resourceType":"Patient","active":true}"#.to_owned(),
        ),
        (
            format!("<Patient xmlns=\"http://hl7.org/fhir\"><text><status value=\"generated\"/><div {xhtml}>a <b class='x'>&amp;&#160;</b><!-- c --><br/></div></text></Patient>"),
            div(&format!("<div {xhtml}>a <b class='x'>&amp;&#160;</b><!-- c --><br/></div>")),
        ),
        // Its namespace is declared around it.
        (
            "<Patient xmlns=\"http://hl7.org/fhir\" xmlns:h=\"http://www.w3.org/1999/xhtml\"><text><status value=\"generated\"/><h:div>a <h:b class='x\"' xml:lang=\"en\">&amp;</h:b><h:br/><![CDATA[<]]></h:div></text></Patient>".to_owned(),
            div(&format!("<div {xhtml}>a <b class='x\"' xml:lang=\"en\">&amp;</b><br/><![CDATA[<]]></div>")),
        ),
        (
            format!("<f:Patient xmlns:f=\"http://hl7.org/fhir\" {xhtml}><f:text><f:status value=\"generated\"/><div>a</div></f:text></f:Patient>"),
            div(&format!("<div {xhtml}>a</div>")),
        ),
        (
            format!("<Patient xmlns=\"http://hl7.org/fhir\"><text><status value=\"generated\"/><div {xhtml}><p {xhtml}>a</p></div></text></Patient>"),
            div(&format!("<div {xhtml}><p {xhtml}>a</p></div>")),
        ),
    ] {
        assert_eq!(json_of(&text), expected, "{text}");
    }
}

/// Line breaks of a narrative stay as they are: JSON holds them so.
#[test]
fn narratives_are_kept() {
    let text = "<div xmlns=\\\"http://www.w3.org/1999/xhtml\\\">\\r\\n a\\t<p title='&quot;'/>\\\\</div>";
    let tree =
        valid(&format!(r#"{{"resourceType":"Patient","text":{{"status":"generated","div":"{text}"}}}}"#));
    let written = xml(&tree).unwrap();
    assert_eq!(json(&parse(written.as_bytes()).unwrap()), json(&tree));
}

#[test]
fn indented() {
    let tree = valid(
        r#"{"resourceType":"Patient","text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">a\n</div>"},"contained":[{"resourceType":"Patient","id":"c"}],"name":[{"given":["a"]}]}"#,
    );
    let mut out = Vec::new();
    tree.write_xml_pretty(&mut out).unwrap();
    let expected = format!(
        "{HEAD}\n<Patient xmlns=\"http://hl7.org/fhir\">\n  <text>\n    <status value=\"generated\"/>\n    <div xmlns=\"http://www.w3.org/1999/xhtml\">a\n</div>\n  </text>\n  <contained>\n    <Patient>\n      <id value=\"c\"/>\n    </Patient>\n  </contained>\n  <name>\n    <given value=\"a\"/>\n  </name>\n</Patient>"
    );
    assert_eq!(String::from_utf8(out.clone()).unwrap(), expected);
    assert_eq!(json(&parse(&out).unwrap()), json(&tree));
}

#[test]
fn changes_of_what_was_xml() {
    let text = "<Patient xmlns=\"http://hl7.org/fhir\"><contained><Patient><name><family value=\"a&amp;b\"/></name></Patient></contained><name><family value='&lt;\"'/></name></Patient>";
    let mut tree = parse(text.as_bytes()).unwrap();
    let inner = tree.root().get("contained").unwrap();
    let alone = tree.extract(inner).unwrap();
    assert_eq!(json(&alone), r#"{"resourceType":"Patient","name":[{"family":"a&b"}]}"#);
    let family = tree.root().get("name").and_then(|name| name.get("family")).unwrap();
    assert_eq!(family.value().as_deref(), Some("<\""));
    assert_eq!(family.position(), Some((1, 138)));
    let node = family.node_id();
    tree.set_id("x");
    tree.set_text(node, "&amp;\\");
    assert_eq!(
        json(&tree),
        r#"{"resourceType":"Patient","id":"x","contained":[{"resourceType":"Patient","name":[{"family":"a&b"}]}],"name":[{"family":"&amp;\\"}]}"#
    );
    assert!(xml(&tree).unwrap().ends_with("<name><family value=\"&amp;amp;\\\"/></name></Patient>"));
}

/// What JSON can hold and XML cannot is told.
#[test]
fn what_xml_cannot_hold() {
    let div = |markup: &str| format!(r#""text":{{"status":"generated","div":"{markup}"}}"#);
    let good = "<div xmlns=\\\"http://www.w3.org/1999/xhtml\\\">";
    let narrative = "XML cannot hold this narrative; ask for JSON. ";
    for (members, code, expression, details) in [
        (
            r#""name":[{"given":["a","\u0001"]}]"#.to_owned(),
            Value,
            "Patient.name[0].given[1]",
            "XML cannot hold the character U+0001; ask for JSON.".to_owned(),
        ),
        (
            r#""name":[{"family":"\uFFFE"}]"#.to_owned(),
            Value,
            "Patient.name[0].family",
            "XML cannot hold the character U+FFFE; ask for JSON.".to_owned(),
        ),
        (
            format!(r#""text":{{"status":"generated","div":"{good}a</div>","_div":{{"id":"x"}}}}"#),
            NotSupported,
            "Patient.text.div",
            "XML cannot hold an id beside a narrative; ask for JSON.".to_owned(),
        ),
        (
            div("<div>a</div>"),
            Structure,
            "Patient.text.div",
            format!("{narrative}its namespace is not declared, or it has something beside a div"),
        ),
        (
            div("text"),
            Structure,
            "Patient.text.div",
            format!("{narrative}its namespace is not declared, or it has something beside a div"),
        ),
        (
            div(&format!("{good}&nbsp;</div>")),
            Structure,
            "Patient.text.div",
            format!(
                "{narrative}The reference '&nbsp;' is not known: XML without a DTD has amp, lt, gt, quot, apos and the numbers of characters (&#160;)."
            ),
        ),
        (
            div(&format!("{good}a</div><active value='false' />")),
            Structure,
            "Patient.text.div",
            format!("{narrative}its namespace is not declared, or it has something beside a div"),
        ),
        (
            div(&format!("{good}<p xmlns='http://hl7.org/fhir'/></div>")),
            Structure,
            "Patient.text.div",
            format!(
                "{narrative}The element is not XHTML: in a narrative all are in the namespace http://www.w3.org/1999/xhtml."
            ),
        ),
    ] {
        let tree = valid(&format!("{{\"resourceType\":\"Patient\",{members}}}"));
        assert_eq!(xml(&tree), Err(Issue::error(code, details).at(expression)), "{members}");
    }
    for markup in [format!("{good}a"), format!("{good}<p></div>"), format!("{good}a & b</div>")] {
        let tree = valid(&format!("{{\"resourceType\":\"Patient\",{}}}", div(&markup)));
        assert!(xml(&tree).is_err(), "{markup}");
    }
}

/// A fault: its kind, expression, line and column, and sentence.
type Told<'t> = (IssueType, &'t str, (u32, u32), &'t str);

fn check(text: &[u8], told: &[Told<'_>]) {
    let issue = |&(code, expression, (line, column), details): &Told<'_>| {
        Issue::error(code, details).at(expression).line(line, column)
    };
    let expected: Vec<Issue> = told.iter().map(issue).collect();
    let shown = String::from_utf8_lossy(text);
    assert_eq!(parse(text).expect_err(&shown), expected, "{shown}");
}

#[test]
fn faults_of_fhir() {
    let too_late = "'id' comes too late: it stands before 'active', in the order of the specification.";
    let empty = "An element must not be empty: it has a value, elements or extensions.";
    let text = "Text does not belong here: a value stands in the attribute 'value'.";
    for (content, told) in [
        ("<nmae/>", (Structure, "Patient.nmae", (2, 1), "Patient has no element 'nmae'.")),
        ("<Name/>", (Structure, "Patient.Name", (2, 1), "Patient has no element 'Name'; 'name' is near.")),
        (
            "<deceased value='1'/>",
            (
                Structure,
                "Patient.deceased",
                (2, 1),
                "'deceased' is written with its type: deceasedBoolean, deceasedDateTime.",
            ),
        ),
        ("<active value='true'/><id value='a'/>", (Structure, "Patient.id", (2, 23), too_late)),
        (
            "<name><given value='a'/></name>\n<gender value='x'/><name><given value='a'/></name>",
            (
                Structure,
                "Patient.name[0]",
                (3, 20),
                "'name' comes too late: it stands before 'gender', in the order of the specification.",
            ),
        ),
        (
            "<active value='true'/><active value='true'/>",
            (Structure, "Patient.active", (2, 23), "'active' is repeated: there is one at most."),
        ),
        (
            "<deceasedBoolean value='true'/><deceasedDateTime value='2020'/>",
            (
                Structure,
                "Patient.deceased",
                (2, 32),
                "deceasedBoolean and deceasedDateTime exclude each other: a choice has one value.",
            ),
        ),
        ("<active/>", (Structure, "Patient.active", (2, 1), empty)),
        ("<name></name>", (Structure, "Patient.name[0]", (2, 1), empty)),
        (
            "<active value=''/>",
            (Value, "Patient.active", (2, 16), "A value must not be an empty string: leave it out."),
        ),
        ("<active value='True'/>", (Value, "Patient.active", (2, 16), "'True' is not true or false.")),
        ("<active value=' true'/>", (Value, "Patient.active", (2, 16), "' true' is not true or false.")),
        (
            "<multipleBirthInteger value='1.0'/>",
            (Value, "Patient.multipleBirth", (2, 30), "'1.0' is not a whole number."),
        ),
        (
            "<birthDate value='2020-02-30'/>",
            (Value, "Patient.birthDate", (2, 19), "'2020-02-30' is out of range: no such day or time."),
        ),
        ("<active value='true'>a</active>", (Structure, "Patient.active", (2, 22), text)),
        ("<active>true</active>", (Structure, "Patient.active", (2, 9), text)),
        ("<name>&amp;<given value='a'/></name>", (Structure, "Patient.name[0]", (2, 7), text)),
        ("<name><![CDATA[ ]]><given value='a'/></name>", (Structure, "Patient.name[0]", (2, 7), text)),
        (
            "<name value='x'><given value='a'/></name>",
            (
                Structure,
                "Patient.name[0]",
                (2, 7),
                "HumanName has no value of its own: its elements stand inside.",
            ),
        ),
        (
            "<name family='x'><given value='a'/></name>",
            (
                Structure,
                "Patient.name[0]",
                (2, 7),
                "'family' is an element of HumanName in XML, not an attribute.",
            ),
        ),
        (
            "<active value='true' x='1'/>",
            (Structure, "Patient.active", (2, 22), "boolean has no attribute 'x' in XML."),
        ),
        (
            "<active value='true' xml:lang='en'/>",
            (Structure, "Patient.active", (2, 22), "boolean has no attribute 'xml:lang' in XML."),
        ),
        (
            "<name><id value='x'/></name>",
            (Structure, "Patient.name[0].id", (2, 7), "'id' is an attribute in XML, not an element."),
        ),
        (
            "<extension><url value='x'/></extension>",
            (Structure, "Patient.extension[0].url", (2, 12), "'url' is an attribute in XML, not an element."),
        ),
        (
            "<extension url='a b'><valueCode value='x'/></extension>",
            (Value, "Patient.extension[0].url", (2, 17), "'a b' is not a URI (no white space)."),
        ),
        (
            "<active xmlns='urn:x' value='true'/>",
            (Structure, "Patient.active", (2, 1), "'active' is not in the namespace http://hl7.org/fhir."),
        ),
        (
            "<x:foo xmlns:x='urn:x'><x:bar/></x:foo>",
            (Structure, "Patient", (2, 1), "'x:foo' is not in the namespace http://hl7.org/fhir."),
        ),
        (
            "<text><status value='generated'/><div>a</div></text>",
            (
                Structure,
                "Patient.text.div",
                (2, 34),
                "'div' is not in the namespace http://www.w3.org/1999/xhtml.",
            ),
        ),
        (
            "<text><status value='generated'/><div xmlns='http://www.w3.org/1999/xhtml'><x xmlns=''/></div></text>",
            (
                Structure,
                "Patient.text.div",
                (2, 76),
                "The element is not XHTML: in a narrative all are in the namespace http://www.w3.org/1999/xhtml.",
            ),
        ),
        (
            "<text><status value='generated'/><div xmlns='http://www.w3.org/1999/xhtml'>&nbsp;</div></text>",
            (
                Invalid,
                "Patient.text.div",
                (2, 76),
                "The reference '&nbsp;' is not known: XML without a DTD has amp, lt, gt, quot, apos and the numbers of characters (&#160;).",
            ),
        ),
        (
            "<contained/>",
            (Structure, "Patient.contained[0]", (2, 1), "'contained' holds a resource, and there is none."),
        ),
        (
            "<contained><Foo/></contained>",
            (Structure, "Patient.contained[0]", (2, 12), "'Foo' is not a resource type."),
        ),
        (
            "<contained><Patient/><Patient/></contained>",
            (
                Structure,
                "Patient.contained[0]",
                (2, 22),
                "'contained' holds one resource; repeat it for another.",
            ),
        ),
        (
            "<contained id='a'><Patient/></contained>",
            (
                Structure,
                "Patient.contained[0]",
                (2, 12),
                "'contained' takes no attributes: it holds a resource.",
            ),
        ),
        (
            "<contained><Patient id='a'/></contained>",
            (
                Structure,
                "Patient.contained[0]",
                (2, 21),
                "'id' is an element of Patient in XML, not an attribute.",
            ),
        ),
    ] {
        check(format!("<Patient xmlns=\"http://hl7.org/fhir\">\n{content}</Patient>").as_bytes(), &[told]);
    }
    check(
        b"<Patient xmlns='http://hl7.org/fhir'><active value='x'/><birthDate value='y'/></Patient>",
        &[
            (Value, "Patient.active", (1, 53), "'x' is not true or false."),
            (Value, "Patient.birthDate", (1, 75), "'y' is not a date (YYYY, YYYY-MM or YYYY-MM-DD)."),
        ],
    );
    check(
        b"<Patient/>",
        &[(Structure, "Resource", (1, 1), "'Patient' is not in the namespace http://hl7.org/fhir.")],
    );
    check(
        b"<patient xmlns='http://hl7.org/fhir'/>",
        &[(Structure, "Resource", (1, 1), "'patient' is not a resource type; 'Patient' is near.")],
    );
}

#[test]
fn faults_of_xml() {
    let patient = |content: &str| format!("<Patient xmlns=\"http://hl7.org/fhir\">{content}</Patient>");
    let dtd = "A DOCTYPE is not allowed: FHIR has no DTD and defines no entities.";
    let cases: [(String, Told<'_>); 17] = [
        (String::new(), (Invalid, "Resource", (1, 1), "This is not XML: no element.")),
        (
            "{}".to_owned(),
            (Invalid, "Resource", (1, 1), "This is not XML: text outside of the root element."),
        ),
        (patient("") + "<a/>", (Invalid, "Patient", (1, 48), "This is not XML: a second root element.")),
        (
            patient("") + "a",
            (Invalid, "Patient", (1, 48), "This is not XML: text outside of the root element."),
        ),
        (format!("<!DOCTYPE x [<!ENTITY a \"b\">]>{}", patient("")), (Invalid, "Resource", (1, 1), dtd)),
        (patient("<!DOCTYPE x>"), (Invalid, "Patient", (1, 38), dtd)),
        (
            patient("<active value=\"&a;\"/>"),
            (
                Invalid,
                "Patient",
                (1, 53),
                "The reference '&a;' is not known: XML without a DTD has amp, lt, gt, quot, apos and the numbers of characters (&#160;).",
            ),
        ),
        (
            patient("<active value=\"a & b\"/>"),
            (Invalid, "Patient", (1, 55), "This is not XML: '&' is written as &amp;."),
        ),
        (
            patient("<active value=\"<\"/>"),
            (Invalid, "Patient", (1, 53), "This is not XML: '<' in an attribute is written as &lt;."),
        ),
        (
            patient("\u{1}"),
            (Invalid, "Resource", (1, 38), "This is not XML: the character U+0001 is not allowed."),
        ),
        (
            patient("<x:active/>"),
            (Invalid, "Patient", (1, 38), "This is not XML: the prefix of this name is not declared."),
        ),
        (
            patient("<active value=\"true\" value=\"true\"/>"),
            (Invalid, "Patient", (1, 59), "This is not XML: the attribute is repeated."),
        ),
        (
            "<Patient xmlns=\"http://hl7.org/fhir\" xmlns=\"\"/>".to_owned(),
            (Invalid, "Resource", (1, 38), "This is not XML: the attribute is repeated."),
        ),
        (
            "<Patient xmlns=\"http://hl7.org/fhir\">".to_owned(),
            (Invalid, "Patient", (1, 38), "This is not XML: <Patient> is not closed."),
        ),
        (
            format!(" {HEAD}{}", patient("")),
            (
                Invalid,
                "Resource",
                (1, 2),
                "This is not XML: an XML declaration stands at the very beginning.",
            ),
        ),
        (
            "<?xml version=\"1.1\"?><Patient/>".to_owned(),
            (NotSupported, "Resource", (1, 1), "XML of version '1.1' is not read: FHIR is XML 1.0."),
        ),
        (
            "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><Patient/>".to_owned(),
            (NotSupported, "Resource", (1, 1), "The encoding 'ISO-8859-1' is not read: FHIR XML is UTF-8."),
        ),
    ];
    for (text, told) in cases {
        check(text.as_bytes(), &[told]);
    }
    let attributes = (0..70).map(|n| format!(" a{n}='x'")).collect::<String>();
    check(
        patient(&format!("<active{attributes}/>")).as_bytes(),
        &[(TooCostly, "Patient", (1, 38), "An element has at most 64 attributes.")],
    );
}

#[test]
fn encodings() {
    let refused = |text: &[u8]| parse(text).unwrap_err();
    let utf16 = Issue::error(NotSupported, "The encoding UTF-16 is not read: FHIR XML is UTF-8.").line(1, 1);
    for text in [b"\xFF\xFE<\0".as_slice(), b"\xFE\xFF\0<", b"<\0P\0", b"\0<\0P"] {
        assert_eq!(refused(text), std::slice::from_ref(&utf16));
    }
    let latin1 = b"<?xml version='1.0' encoding='latin1'?><Patient xmlns='http://hl7.org/fhir'><name><family value='\xE9'/></name></Patient>";
    let issue =
        Issue::error(NotSupported, "The encoding 'latin1' is not read: FHIR XML is UTF-8.").line(1, 1);
    assert_eq!(refused(latin1), [issue]);
    let issue = Issue::error(Invalid, "The text is not UTF-8 here.").line(1, 3);
    assert_eq!(refused(b"<a\xE9"), [issue]);
}

#[test]
fn bounds() {
    let with = |text: &str, limits: Limits| {
        let issues = Tree::parse_xml(&schema(), text.as_bytes().to_vec(), &limits).expect_err(text);
        issues.into_iter().map(|issue| (issue.code, issue.details)).collect::<Vec<_>>()
    };
    let patient = "<Patient xmlns=\"http://hl7.org/fhir\"><name><given value=\"a\"><extension url=\"u\"/></given></name></Patient>";
    let deep = "Elements are nested deeper than 6 levels of objects and arrays.".to_owned();
    assert_eq!(with(patient, Limits { depth: 6, ..Limits::DEFAULT }), [(TooLong, deep)]);
    let tree = Tree::parse_xml(&schema(), patient.into(), &Limits { depth: 7, ..Limits::DEFAULT }).unwrap();
    // The levels are those of JSON.
    for (depth, good) in [(6, false), (7, true)] {
        let read =
            Tree::parse_json(&schema(), json(&tree).into_bytes(), &Limits { depth, ..Limits::DEFAULT });
        assert_eq!(read.is_ok(), good, "{depth}");
    }
    let long = format!("The input has {} bytes; at most 50 are taken.", patient.len());
    assert_eq!(with(patient, Limits { bytes: 50, ..Limits::DEFAULT }), [(TooLong, long)]);
    let text = format!("<Patient xmlns=\"http://hl7.org/fhir\">{}</Patient>", "<x/>".repeat(9));
    assert_eq!(with(&text, Limits { issues: 3, ..Limits::DEFAULT }).len(), 3);
    let text = format!("<Patient xmlns=\"http://hl7.org/fhir\">{}</Patient>", "<link/>".repeat(70_000));
    let limits = Limits { bytes: 500_000, issues: 100_000, ..Limits::DEFAULT };
    let many = "The resource has more than 65536 elements.".to_owned();
    assert_eq!(with(&text, limits).last(), Some(&(TooLong, many)));
}
