//! What the two tenants have: the same resources by the same ids, but for every text, number, date and reference of theirs.

/// In every text of the tenant that asks, and nowhere else.
pub const ASKING: &str = "alderquist";
/// In every text of the other, and nowhere else.
pub const OTHER: &str = "birchwald";

/// A tenant's words for the gaps in [`BOTH`].
pub struct Words {
    /// Replaces `MARK`.
    pub mark: &'static str,
    /// Replaces `NUMBER`.
    pub number: &'static str,
    /// Replaces `YEAR`.
    pub year: &'static str,
    /// Replaces `TARGET`: the practitioner that references point to.
    pub target: &'static str,
    /// How many versions each resource gets.
    pub versions: usize,
}

pub const WORDS_ASKING: Words =
    Words { mark: ASKING, number: "11", year: "1951", target: "doc1", versions: 2 };
pub const WORDS_OTHER: Words = Words { mark: OTHER, number: "77", year: "1977", target: "doc2", versions: 4 };

/// Resources of both tenants: key, and members besides type and id. A reference stands after what it points to.
pub const BOTH: &[(&str, &str)] = &[
    (
        "Organization/org",
        r#""identifier":[{"system":"urn:MARK","value":"org-MARK"}],"name":"MARK Clinic","address":[{"city":"MARKtown","state":"MA"}],"meta":{"tag":[{"system":"urn:t","code":"tag-MARK"}],"profile":["http://example.org/MARK"],"security":[{"system":"urn:s","code":"sec-MARK"}],"source":"http://example.org/source/MARK"}"#,
    ),
    (
        "Practitioner/doc1",
        r#""identifier":[{"system":"urn:MARK","value":"doc1-MARK"}],"name":[{"family":"MARK","given":["One"]}],"gender":"female""#,
    ),
    (
        "Practitioner/doc2",
        r#""identifier":[{"system":"urn:MARK","value":"doc2-MARK"}],"name":[{"family":"MARK","given":["Two"]}],"gender":"female""#,
    ),
    (
        "Patient/pat",
        r#""identifier":[{"system":"urn:MARK","value":"pat-MARK"}],"active":true,"name":[{"family":"MARK","given":["Ann"]}],"telecom":[{"system":"phone","value":"MARK-1"},{"system":"email","value":"MARK@example.org"}],"gender":"female","birthDate":"YEAR-03-04","address":[{"line":["1 MARK Road"],"city":"MARKville","state":"MA","postalCode":"NUMBER000","country":"US"}],"generalPractitioner":[{"reference":"Practitioner/TARGET"}],"managingOrganization":{"reference":"Organization/org"},"meta":{"tag":[{"system":"urn:t","code":"tag-MARK"}],"profile":["http://example.org/MARK"]}"#,
    ),
    (
        "Patient/twin",
        r#""identifier":[{"system":"urn:MARK","value":"twin-MARK"}],"active":true,"name":[{"family":"MARK","given":["Bea"]}],"gender":"female","birthDate":"YEAR-05-06","generalPractitioner":[{"reference":"Practitioner/TARGET"}]"#,
    ),
    (
        "Encounter/enc",
        r#""identifier":[{"value":"enc-MARK"}],"status":"finished","class":{"system":"urn:c","code":"MARK"},"type":[{"coding":[{"system":"urn:c","code":"type-MARK"}]}],"subject":{"reference":"Patient/pat"},"participant":[{"individual":{"reference":"Practitioner/TARGET"}}],"period":{"start":"YEAR-06-01","end":"YEAR-06-03"},"serviceProvider":{"reference":"Organization/org"},"length":{"value":NUMBER,"system":"http://unitsofmeasure.org","code":"min"}"#,
    ),
    (
        "Observation/obs",
        r#""identifier":[{"value":"obs-MARK"}],"status":"final","category":[{"coding":[{"system":"urn:c","code":"cat-MARK"}]}],"code":{"coding":[{"system":"urn:c","code":"code-MARK"}],"text":"MARK"},"subject":{"reference":"Patient/pat"},"encounter":{"reference":"Encounter/enc"},"performer":[{"reference":"Practitioner/TARGET"}],"effectiveDateTime":"YEAR-06-02","valueQuantity":{"value":NUMBER,"unit":"kg","system":"http://unitsofmeasure.org","code":"kg"},"component":[{"code":{"coding":[{"system":"urn:c","code":"part-MARK"}]},"valueQuantity":{"value":NUMBER,"system":"http://unitsofmeasure.org","code":"cm"}}]"#,
    ),
    (
        "Observation/said",
        r#""status":"final","code":{"coding":[{"system":"urn:c","code":"said-MARK"}]},"subject":{"reference":"Patient/pat"},"effectiveDateTime":"YEAR-07-02","valueString":"MARK said""#,
    ),
    (
        "Condition/con",
        r#""code":{"coding":[{"system":"urn:c","code":"con-MARK"}]},"subject":{"reference":"Patient/pat"},"asserter":{"reference":"Practitioner/TARGET"},"onsetDateTime":"YEAR-01-01""#,
    ),
    (
        "RiskAssessment/risk",
        r#""status":"final","subject":{"reference":"Patient/pat"},"note":[{"text":"MARK"}],"prediction":[{"outcome":{"text":"MARK"},"probabilityDecimal":0.NUMBER}]"#,
    ),
    (
        "ValueSet/set",
        r#""url":"http://example.org/set/MARK","name":"MARK","title":"MARK","status":"active","date":"YEAR-02-02","compose":{"include":[{"system":"http://example.org/sys"}]}"#,
    ),
    (
        "CodeSystem/sys",
        r#""url":"http://example.org/sys","name":"MARK","status":"active","content":"complete","hierarchyMeaning":"is-a","concept":[{"code":"top","display":"MARK top","concept":[{"code":"low","display":"MARK low"}]}]"#,
    ),
    (
        "CodeSystem/own",
        r#""url":"http://example.org/own/MARK","name":"MARK","status":"active","content":"complete","concept":[{"code":"top","display":"MARK top"}]"#,
    ),
    (
        "ConceptMap/map",
        r#""url":"http://example.org/map","name":"MARK","status":"active","group":[{"source":"http://example.org/sys","target":"urn:t","element":[{"code":"top","target":[{"code":"t-MARK","equivalence":"equal"}]}]}]"#,
    ),
    // Another name of a parameter that there is: it is active at once, and nothing is indexed.
    (
        "SearchParameter/own",
        r#""url":"http://example.org/parameter/MARK","name":"MARK","status":"active","description":"MARK","code":"gender","base":["Patient"],"type":"token","expression":"Patient.gender""#,
    ),
    (
        "Appointment/app",
        r#""status":"booked","description":"MARK","start":"YEAR-03-03T10:00:00Z","end":"YEAR-03-03T10:20:00Z","participant":[{"actor":{"reference":"Patient/pat"},"status":"accepted"}]"#,
    ),
];

/// Resources that only the other has.
pub const ONLY_OTHER: &[(&str, &str)] = &[
    (
        "Patient/hidden",
        r#""identifier":[{"system":"urn:MARK","value":"hidden-MARK"}],"active":true,"name":[{"family":"MARK","given":["Cee"]}],"gender":"female","birthDate":"YEAR-07-08","generalPractitioner":[{"reference":"Practitioner/doc1"}]"#,
    ),
    (
        "Observation/hidden",
        r#""status":"final","code":{"coding":[{"system":"urn:c","code":"hidden-MARK"}]},"subject":{"reference":"Patient/pat"},"encounter":{"reference":"Encounter/enc"},"performer":[{"reference":"Practitioner/doc1"}],"valueString":"MARK hides""#,
    ),
    (
        "Provenance/hidden",
        r#""target":[{"reference":"Patient/pat"}],"recorded":"YEAR-01-01T00:00:00Z","agent":[{"who":{"display":"MARK"}}]"#,
    ),
    (
        "CodeSystem/hidden",
        r#""url":"http://example.org/hidden","name":"MARK","status":"active","content":"complete","concept":[{"code":"top","display":"MARK top"}]"#,
    ),
    (
        "StructureDefinition/hidden",
        r#""url":"http://example.org/hidden","name":"MARK","status":"active","kind":"resource","abstract":false,"type":"Patient","baseDefinition":"http://hl7.org/fhir/StructureDefinition/Patient","derivation":"constraint","differential":{"element":[{"id":"Patient.photo","path":"Patient.photo","min":1}]}"#,
    ),
];

/// Deleted by the other; the tenant that asks has it.
pub const DELETED_BY_OTHER: &str = "Appointment/app";
/// Deleted by the tenant that asks; the other has it.
pub const DELETED_BY_ASKING: &str = "Condition/con";

impl Words {
    /// A resource of [`BOTH`] or [`ONLY_OTHER`] in these words.
    pub fn resource(&self, key: &str, members: &str) -> String {
        let (resource_type, id) = key.split_once('/').expect("a key");
        let members = members
            .replace("MARK", self.mark)
            .replace("NUMBER", self.number)
            .replace("YEAR", self.year)
            .replace("TARGET", self.target);
        format!(r#"{{"resourceType":"{resource_type}","id":"{id}",{members}}}"#)
    }

    /// The same as its version `number`: languages differ, so that each is a change.
    pub fn version(&self, key: &str, members: &str, number: usize) -> String {
        let language = ["en", "de", "fr", "it"][number % 4];
        self.resource(key, &format!(r#""language":"{language}",{members}"#))
    }
}
