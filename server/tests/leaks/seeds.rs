//! What the two have who must not meet. Tenants: the same resources by the same ids, but for every text, number, date and
//! reference of theirs. Patients of one tenant: the same but for the ids, and what belongs to neither of them or to both in turn.

/// Who must not meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cast {
    /// Two tenants.
    Tenants,
    /// Two patients of one tenant; the one who asks holds a token with `patient/` scopes.
    Patients,
}

/// A resource to be stored.
pub struct Seed {
    pub key: String,
    pub members: String,
    pub words: &'static Words,
}

impl Seed {
    fn new(key: &str, members: &str, words: &'static Words) -> Seed {
        Seed { key: key.to_owned(), members: members.to_owned(), words }
    }

    pub fn resource_type(&self) -> &'static str {
        let (resource_type, _) = self.key.split_once('/').expect("a key");
        let known = BOTH.iter().chain(ONLY_OTHER).chain(OF_PATIENT).map(|(key, _)| *key);
        known
            .filter_map(|key| key.split('/').next())
            .find(|name| *name == resource_type)
            .expect("a known type")
    }

    pub fn resource(&self) -> String {
        self.words.resource(&self.key, &self.members)
    }
}

/// What the one who asks has, or may see.
pub fn own(cast: Cast) -> Vec<Seed> {
    let of_patient: &[(&str, &str)] = match cast {
        Cast::Tenants => &[],
        Cast::Patients => OF_PATIENT,
    };
    BOTH.iter().chain(of_patient).map(|(key, members)| Seed::new(key, members, &WORDS_ASKING)).collect()
}

/// What must not show.
pub fn others(cast: Cast) -> Vec<Seed> {
    match cast {
        Cast::Tenants => {
            let all = BOTH.iter().chain(ONLY_OTHER);
            all.map(|(key, members)| Seed::new(key, members, &WORDS_OTHER)).collect()
        }
        // The patient's own, of the other patient.
        Cast::Patients => {
            let all = BOTH.iter().chain(OF_PATIENT);
            let of_patient =
                all.filter(|(key, members)| *key == "Patient/pat" || members.contains("Patient/pat"));
            of_patient.map(|(key, members)| Seed::new(&hidden(key), &hidden(members), &WORDS_OTHER)).collect()
        }
    }
}

/// The ids of the other patient's resources in a text.
fn hidden(text: &str) -> String {
    let own = ["Patient/pat", "Encounter/enc", "Observation/obs", "Condition/con", "RiskAssessment/risk"];
    let text = own.iter().fold(text.to_owned(), |text, key| {
        let (resource_type, _) = key.split_once('/').expect("a key");
        text.replace(key, &format!("{resource_type}/hidden"))
    });
    let more = [
        ("Observation/said", "Observation/hidden-said"),
        ("Observation/links", "Observation/hidden-links"),
        ("Appointment/app", "Appointment/hidden"),
        ("Provenance/own", "Provenance/hidden"),
        ("List/own", "List/hidden"),
        ("DocumentReference/doc", "DocumentReference/hidden"),
    ];
    more.iter().fold(text, |text, (own, hidden)| text.replace(own, hidden))
}

/// Resources of a patient that refer to the other's: what is at the end of these references does not show.
const OF_PATIENT: &[(&str, &str)] = &[
    (
        "Observation/links",
        r#""status":"final","code":{"coding":[{"system":"urn:c","code":"links-MARK"}]},"subject":{"reference":"Patient/pat"},"focus":[{"reference":"Patient/hidden"}],"hasMember":[{"reference":"Observation/obs"},{"reference":"Observation/hidden"},{"reference":"Observation/hidden-said"}],"derivedFrom":[{"reference":"Observation/said"},{"reference":"Observation/hidden"}]"#,
    ),
    (
        "List/own",
        r#""status":"current","mode":"working","title":"MARK","subject":{"reference":"Patient/pat"},"entry":[{"item":{"reference":"Observation/obs"}},{"item":{"reference":"Observation/hidden"}}]"#,
    ),
    (
        "Provenance/own",
        r#""target":[{"reference":"Patient/pat"},{"reference":"Observation/obs"}],"recorded":"YEAR-01-01T00:00:00Z","agent":[{"who":{"display":"MARK"}}]"#,
    ),
];

/// A resource that was the other patient's in its first version, and is the asking one's.
pub const MOVED: [(&str, &str, &Words); 2] =
    [("Observation/moved", MOVED_FROM, &WORDS_OTHER), ("Observation/moved", MOVED_TO, &WORDS_ASKING)];
/// The other way round.
pub const LEFT: [(&str, &str, &Words); 2] =
    [("Observation/left", MOVED_TO, &WORDS_OTHER), ("Observation/left", MOVED_FROM, &WORDS_OTHER)];
const MOVED_FROM: &str = r#""status":"final","code":{"coding":[{"system":"urn:c","code":"moved-MARK"}]},"subject":{"reference":"Patient/hidden"}"#;
const MOVED_TO: &str = r#""status":"final","code":{"coding":[{"system":"urn:c","code":"moved-MARK"}]},"subject":{"reference":"Patient/pat"}"#;

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
    (
        "DocumentReference/doc",
        r#""status":"current","type":{"coding":[{"system":"urn:d","code":"doc-MARK"}]},"subject":{"reference":"Patient/pat"},"date":"YEAR-03-01T00:00:00Z","content":[{"attachment":{"contentType":"text/plain","title":"MARK"}}],"context":{"period":{"start":"YEAR-02-01","end":"YEAR-02-02"}}"#,
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

/// Deleted by the other; the one who asks has it.
pub fn deleted_by_other(cast: Cast) -> &'static str {
    match cast {
        Cast::Tenants => "Appointment/app",
        Cast::Patients => "Appointment/hidden",
    }
}
/// Deleted by the one who asks; the other has it.
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
