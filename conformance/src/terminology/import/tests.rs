//! Samples in the publishers' formats, written for these tests, become tables; what is kept of a table answers questions.

use std::io::Cursor;
use std::sync::Arc;
use std::sync::Mutex;

use rustc_hash::FxHashMap;

use super::*;
use crate::resources::Unavailable;
use crate::terminology::*;

/// Pieces by table and number; a table has the name of its URL.
type Pieces = FxHashMap<(String, u32), Arc<[u8]>>;

/// A store of pieces.
#[derive(Default)]
struct Kept {
    pieces: Mutex<Pieces>,
}

impl CodeTables for Kept {
    fn table(&self, url: &str, version: Option<&str>) -> Result<Option<String>, Unavailable> {
        let known = self.pieces.lock().unwrap().contains_key(&(url.to_owned(), 0));
        Ok((known && [None, Some("1")].contains(&version)).then(|| url.to_owned()))
    }

    fn piece(&self, table: &str, number: u32) -> Result<Option<Arc<[u8]>>, Unavailable> {
        let key = (table.to_owned(), number);
        Ok(self.pieces.lock().unwrap().get(&key).cloned())
    }

    fn generation(&self) -> u64 {
        0
    }
}

impl Kept {
    fn of(tables: Vec<CodeTable>) -> Kept {
        let kept = Kept::default();
        for table in tables {
            let url = table.description().url.clone();
            let put = |number, bytes: Vec<u8>| -> Result<(), serde_json::Error> {
                assert!(bytes.len() < PIECE_BYTES * 2, "a piece of {} bytes", bytes.len());
                kept.pieces.lock().unwrap().insert((url.clone(), number), bytes.into());
                Ok(())
            };
            table.write(put).unwrap();
        }
        kept
    }
}

/// A server that has imported tables.
fn server(tables: Vec<CodeTable>) -> Terminology {
    Terminology::embedded().with_tables(Arc::new(Kept::of(tables)))
}

/// The codes that pass a filter.
fn codes(terminology: &Terminology, system: &str, filter: (&str, &str, &str)) -> String {
    let filter = model::Filter { property: filter.0.into(), op: filter.1.into(), value: filter.2.into() };
    let include =
        model::Include { system: Some(system.into()), filter: vec![filter], ..model::Include::default() };
    let compose = model::Compose { include: vec![include], ..model::Compose::default() };
    let set = model::ValueSet { compose: Some(compose), ..model::ValueSet::default() };
    let mut request = ExpandRequest::new(ValueSetSource::Given(Box::new(set)));
    request.exclude_nested = true;
    match terminology.expand(&request) {
        Ok(expansion) => expansion.contains.iter().map(|it| it.code.as_ref()).collect::<Vec<_>>().join(" "),
        Err(error) => error.to_string(),
    }
}

fn lookup(terminology: &Terminology, system: &str, code: &str) -> String {
    let code = model::Code { system: Some(system.into()), code: Some(code.into()), ..model::Code::default() };
    let request = LookupRequest { code, instance: None, display_language: None, properties: Vec::new() };
    match terminology.lookup(&request) {
        Ok(found) => {
            let concept = &found.concept;
            let property = |it: &model::Property| format!("{}={}", it.code, it.text().unwrap_or_default());
            let properties: Vec<String> = concept.properties.iter().map(property).collect();
            let names: Vec<&str> = concept.designations.iter().map(|it| it.value.as_str()).collect();
            let inactive = if concept.inactive { " inactive" } else { "" };
            format!("{}{inactive} {names:?} {}", found.display, properties.join(" "))
        }
        Err(error) => error.to_string(),
    }
}

fn same(actual: impl AsRef<str>, expected: &str) {
    assert_eq!(actual.as_ref(), expected);
}

fn failure(table: Result<CodeTable, ImportError>) -> String {
    table.err().map(|error| error.to_string()).unwrap_or_default()
}

const LOINC: &str = concat!(
    "\u{feff}\"LOINC_NUM\",\"COMPONENT\",\"PROPERTY\",\"TIME_ASPCT\",\"SYSTEM\",\"SCALE_TYP\",\"METHOD_TYP\",\"CLASS\",",
    "\"STATUS\",\"CLASSTYPE\",\"ORDER_OBS\",\"SHORTNAME\",\"LONG_COMMON_NAME\",\"CONSUMER_NAME\"\r\n",
    "\"0001-1\",\"Sweetness\",\"MCnc\",\"Pt\",\"Ser/Plas\",\"Qn\",\"\",\"CHEM\",\"ACTIVE\",\"1\",\"Both\",\"Sweet SerPl\",",
    "\"Sweetness [Mass/volume] in Serum, or \"\"Plasma\"\"\",\"Sweetness\"\r\n",
    "\"0002-9\",\"Sourness\",\"MCnc\",\"Pt\",\"Urine\",\"Qn\",\"\",\"CHEM\",\"DEPRECATED\",\"1\",\"Both\",\"\",\"Sourness,\n",
    "old\",\"\"\r\n",
);

fn loinc_files(table: &str) -> LoincFiles<Cursor<String>> {
    LoincFiles { table: Cursor::new(table.to_owned()), hierarchy: None, answers: None }
}

#[test]
fn loinc_from_its_release() {
    let url = "http://loinc.org";
    let hierarchy = concat!(
        "PATH_TO_ROOT,SEQUENCE,IMMEDIATE_PARENT,CODE,CODE_TEXT\n",
        ",1,,LP1-1,Tastes\n",
        "LP1-1,1,LP1-1,LP2-2,\"Tastes, good\"\n",
        "LP1-1.LP2-2,1,LP2-2,0001-1,Sweetness\n",
    );
    let answers = concat!(
        "AnswerListId,AnswerListName,AnswerListOID,ExtDefinedYN,AnswerStringId,SequenceNumber,DisplayText\n",
        "LL1-1,Much|little,,N,LA1-1,1,Much\n",
        "LL1-1,Much|little,,N,LA2-2,2,Little\n",
        "LL2-2,Elsewhere,,Y,,,\n",
    );
    let files = LoincFiles {
        hierarchy: Some(Cursor::new(hierarchy.to_owned())),
        answers: Some(Cursor::new(answers.to_owned())),
        ..loinc_files(LOINC)
    };
    let terminology = server(vec![loinc(files, "1").unwrap()]);
    same(
        lookup(&terminology, url, "0001-1"),
        "Sweetness [Mass/volume] in Serum, or \"Plasma\" [\"Sweet SerPl\", \"Sweetness\"] STATUS=ACTIVE \
         COMPONENT=Sweetness PROPERTY=MCnc TIME_ASPCT=Pt SYSTEM=Ser/Plas SCALE_TYP=Qn CLASS=CHEM CLASSTYPE=1 ORDER_OBS=Both",
    );
    same(
        lookup(&terminology, url, "0002-9"),
        "Sourness,\nold inactive [] STATUS=DEPRECATED COMPONENT=Sourness PROPERTY=MCnc TIME_ASPCT=Pt SYSTEM=Urine \
         SCALE_TYP=Qn CLASS=CHEM CLASSTYPE=1 ORDER_OBS=Both",
    );
    same(lookup(&terminology, url, "9-9"), "the code system http://loinc.org has no code 9-9");
    same(codes(&terminology, url, ("concept", "is-a", "LP1-1")), "LP1-1 LP2-2 0001-1");
    same(codes(&terminology, url, ("CLASSTYPE", "=", "1")), "0001-1 0002-9");
    same(codes(&terminology, url, ("parent", "=", "LP2-2")), "0001-1");
    same(codes(&terminology, url, ("ancestor", "=", "LP1-1")), "0001-1 LP2-2");
    same(
        codes(&terminology, url, ("ancestor", "exists", "true")),
        "the filter ancestor: ancestors can be asked for with = alone",
    );
    let list = ExpandRequest::new(ValueSetSource::Canonical("http://loinc.org/vs/LL1-1".into()));
    let shown = terminology.expand(&list).unwrap();
    assert_eq!(shown.contains.iter().map(|it| it.code.as_ref()).collect::<Vec<_>>(), ["LA1-1", "LA2-2"]);
    // A value set of R4 that filters LOINC can now be told.
    let scale = fhirpath::expression::Coding {
        system: Some(url.into()),
        code: "0001-1".into(),
        ..Default::default()
    };
    let set = "http://hl7.org/fhir/us/core/ValueSet/us-core-laboratory-test-codes";
    let said = terminology.validate_code(set, &[scale]);
    assert_eq!(said, CodeCheck::Valid { display_issue: None });
}

#[test]
fn what_is_not_loinc_is_refused() {
    let check = |text: &str, expected: &str| same(failure(loinc(loinc_files(text), "1")), expected);
    check("", "Loinc.csv, line 1: the file is empty");
    check("A,B\n", "Loinc.csv, line 1: there is no column LOINC_NUM");
    check(&format!("{LOINC}\"0003-7\"\n"), "Loinc.csv, line 5: has 1 columns, not 14");
    check(&format!("{LOINC}\"0003-7"), "Loinc.csv, line 6: a quote is never closed");
    check(&format!("{LOINC}\"0003-7\"x,\n"), "Loinc.csv, line 5: there is text behind a closing quote");
    check(&format!("{LOINC},,,,,,,,,,,,,\n"), "Loinc.csv, line 5: has no LOINC_NUM");
}

const CONCEPTS: &str = concat!(
    "id\teffectiveTime\tactive\tmoduleId\tdefinitionStatusId\r\n",
    "138875005\t20020131\t1\t1\t900000000000074008\r\n",
    "10\t20020131\t1\t1\t900000000000074008\r\n",
    "11\t20020131\t1\t1\t900000000000073002\r\n",
    "12\t20020131\t0\t1\t900000000000074008\r\n",
);
const DESCRIPTIONS: &str = concat!(
    "id\teffectiveTime\tactive\tmoduleId\tconceptId\tlanguageCode\ttypeId\tterm\tcaseSignificanceId\r\n",
    "1\t20020131\t1\t1\t138875005\ten\t900000000000003001\tRoot (root)\t1\r\n",
    "2\t20020131\t1\t1\t10\ten\t900000000000003001\tTaste (finding)\t1\r\n",
    "3\t20020131\t1\t1\t10\ten\t900000000000013009\tFlavour\t1\r\n",
    "4\t20020131\t1\t1\t10\ten\t900000000000013009\tTaste\t1\r\n",
    "5\t20020131\t0\t1\t10\ten\t900000000000013009\tSavour\t1\r\n",
    "6\t20020131\t1\t1\t11\ten\t900000000000013009\tSweet taste\t1\r\n",
);
const RELATIONSHIPS: &str = concat!(
    "id\teffectiveTime\tactive\tmoduleId\tsourceId\tdestinationId\trelationshipGroup\ttypeId\tcharacteristicTypeId\tmodifierId\n",
    "1\t1\t1\t1\t10\t138875005\t0\t116680003\t900000000000011006\t1\n",
    "2\t1\t1\t1\t11\t10\t0\t116680003\t900000000000011006\t1\n",
    "3\t1\t0\t1\t12\t10\t0\t116680003\t900000000000011006\t1\n",
    "4\t1\t1\t1\t11\t12\t1\t363698007\t900000000000011006\t1\n",
);

fn snomed_files(concepts: &str, descriptions: &str, relationships: &str) -> SnomedFiles<Cursor<String>> {
    let languages = concat!(
        "id\teffectiveTime\tactive\tmoduleId\trefsetId\treferencedComponentId\tacceptabilityId\n",
        "a\t1\t1\t1\t900000000000509007\t4\t900000000000548007\n",
        "b\t1\t1\t1\t900000000000509007\t3\t900000000000549004\n",
    );
    let refsets = concat!(
        "id\teffectiveTime\tactive\tmoduleId\trefsetId\treferencedComponentId\n",
        "a\t1\t1\t1\t99\t11\n",
        "b\t1\t0\t1\t99\t10\n",
    );
    let file = |text: &str| Cursor::new(text.to_owned());
    SnomedFiles {
        concepts: file(concepts),
        descriptions: file(descriptions),
        relationships: file(relationships),
        languages: Some(file(languages)),
        refsets: Some(file(refsets)),
    }
}

#[test]
fn snomed_from_release_format_2() {
    let url = "http://snomed.info/sct";
    let table = snomed(snomed_files(CONCEPTS, DESCRIPTIONS, RELATIONSHIPS), "1").unwrap();
    let terminology = server(vec![table]);
    same(
        lookup(&terminology, url, "10"),
        "Taste [\"Taste (finding)\", \"Flavour\", \"Taste\"] inactive=false sufficientlyDefined=false moduleId=1 \
         effectiveTime=20020131",
    );
    same(
        lookup(&terminology, url, "12"),
        "12 inactive [] inactive=true sufficientlyDefined=false moduleId=1 effectiveTime=20020131",
    );
    same(codes(&terminology, url, ("concept", "is-a", "138875005")), "138875005 10 11");
    same(codes(&terminology, url, ("363698007", "=", "12")), "11");
    same(codes(&terminology, url, ("moduleId", "=", "1")), "10 11 12 138875005");
    same(codes(&terminology, url, ("inactive", "=", "true")), "12");
    same(codes(&terminology, url, ("concept", "in", "98,99")), "11");
    let implied = |query: &str| {
        let source = ValueSetSource::Canonical(format!("{url}?fhir_vs{query}"));
        let expansion = terminology.expand(&ExpandRequest::new(source));
        expansion.map_or_else(|error| error.to_string(), |it| it.total.to_string())
    };
    same(implied(""), "4");
    same(implied("=isa/10"), "2");
    same(implied("=refset/99"), "1");
    same(implied("=other/99"), "the value set http://snomed.info/sct?fhir_vs=other/99 is not known here");
    let relation = |a: &str, b: &str| {
        let (code_a, code_b) = (a.to_owned(), b.to_owned());
        let request = SubsumesRequest { system: url.into(), version: None, instance: None, code_a, code_b };
        terminology.subsumption(&request).unwrap().as_str()
    };
    same(relation("138875005", "11"), "subsumes");
    same(relation("11", "10"), "subsumed-by");
    same(relation("10", "12"), "not-subsumed");
}

#[test]
fn what_is_not_release_format_2_is_refused() {
    let check = |files, expected: &str| same(failure(snomed(files, "1")), expected);
    let bad = CONCEPTS.replace("\t0\t1\t", "\tno\t1\t");
    check(snomed_files(&bad, DESCRIPTIONS, RELATIONSHIPS), "concepts, line 5: active is neither 0 nor 1");
    let orphan = format!("{DESCRIPTIONS}7\t1\t1\t1\t77\ten\t900000000000013009\tNo\t1\r\n");
    check(snomed_files(CONCEPTS, &orphan, RELATIONSHIPS), "descriptions, line 8: there is no concept 77");
    let orphan = RELATIONSHIPS.replace("\t11\t10\t", "\t77\t10\t");
    check(snomed_files(CONCEPTS, DESCRIPTIONS, &orphan), "relationships, line 3: there is no concept 77");
    check(
        snomed_files("id\n", DESCRIPTIONS, RELATIONSHIPS),
        "concepts, line 1: there is no column effectiveTime",
    );
}

#[test]
fn rxnorm_from_the_rich_release_format() {
    let url = "http://www.nlm.nih.gov/research/umls/rxnorm";
    let concepts = concat!(
        "1|ENG||||||1|1|1||RXNORM|IN|1|sweetol||N|4096|\n",
        "2|ENG||||||2|2|2||RXNORM|SCD|2|sweetol 10 MG Oral Tablet||N|4096|\n",
        "2|ENG||||||3|2|2||RXNORM|SY|2|sweetol 10 MG Tab||N||\n",
        "2|ENG||||||4|2|2||MMSL|CD|2|Sweetol Tab||N||\n",
        "3|ENG||||||5|3|3||RXNORM|BN|3|Oldol||O||\n",
    );
    let relations = "1||CUI|RO|2||CUI|has_ingredient|1||RXNORM|RXNORM|||N||\n";
    let types = "1|T121|A1.4.1.1.1|Pharmacologic Substance|||\n";
    let file = |text: &str| Cursor::new(text.to_owned());
    let files =
        RxNormFiles { concepts: file(concepts), relations: Some(file(relations)), types: Some(file(types)) };
    let terminology = server(vec![rxnorm(files, "1").unwrap()]);
    same(lookup(&terminology, url, "1"), "sweetol [] TTY=IN STY=Pharmacologic Substance");
    same(
        lookup(&terminology, url, "2"),
        "sweetol 10 MG Oral Tablet [\"sweetol 10 MG Tab\"] TTY=SCD has_ingredient=1",
    );
    same(lookup(&terminology, url, "3"), "Oldol inactive [] TTY=BN");
    same(codes(&terminology, url, ("TTY", "in", "SCD,SBD")), "2");
    same(codes(&terminology, url, ("has_ingredient", "=", "CUI:1")), "2");
    let files = RxNormFiles { concepts: file("1|ENG|\n"), relations: None, types: None };
    same(failure(rxnorm(files, "1")), "RXNCONSO.RRF, line 1: has 2 values, not 18");
}

#[test]
fn icd10cm_from_the_order_file() {
    let url = "http://hl7.org/fhir/sid/icd-10-cm";
    let order = concat!(
        "00001 A00     0 Sweetness                                                    Sweetness\r\n",
        "00002 A000    1 Sweetness of sugar                                           Sweetness due to sugar\r\n",
        "00003 A001    0 Sweetness, other                                             Sweetness due to other things\r\n",
        "00004 A0011   1 Sweetness of honey                                           Sweetness due to honey\r\n",
        "00005 A01     1 Sourness                                                     Sourness\r\n",
    );
    let terminology = server(vec![icd10cm(Cursor::new(order), "1").unwrap()]);
    same(lookup(&terminology, url, "A00.0"), "Sweetness due to sugar [\"Sweetness of sugar\"] billable=true");
    same(codes(&terminology, url, ("concept", "is-a", "A00")), "A00 A00.0 A00.1 A00.11");
    same(codes(&terminology, url, ("billable", "=", "false")), "A00 A00.1");
    let check =
        |text: &str, expected: &str| same(failure(icd10cm(Cursor::new(text.to_owned()), "1")), expected);
    let why = "is not an order number, a code, a flag and descriptions in their columns";
    check("A00.0 Sweetness\n", &format!("order file, line 1: {why}"));
    check(&"x".repeat(2 << 20), "order file, line 1: longer than 1048576 bytes");
}

/// A code system of 20,000 codes in a hierarchy of tens.
fn large() -> CodeTable {
    let mut table = CodeTable::new(description("http://large", "1", "Large", &[]));
    for number in 0..20_000 {
        let concept = table.concept(&format!("c{number:05}")).unwrap();
        concept.display = Some(format!("Concept number {number} of a large code system").into());
        if number > 0 {
            concept.parents.push(format!("c{:05}", (number - 1) / 10).into());
        }
    }
    table
}

#[test]
fn a_large_table_is_read_by_pieces() {
    let terminology = server(vec![large()]);
    let system = terminology.system("http://large", None).unwrap().unwrap();
    assert_eq!(system.count(), Some(20_000));
    for number in [0, 1, 777, 9_999, 19_999] {
        let code = format!("c{number:05}");
        assert_eq!(system.find(&code).unwrap().map(|it| it.code.to_string()), Some(code));
    }
    for code in ["", "c", "c20000", "c00000x", "d"] {
        assert!(system.find(code).unwrap().is_none(), "{code}");
    }
    let mut count = 0;
    let mut visit = |_: &Arc<Concept>| {
        count += 1;
        std::ops::ControlFlow::Continue(())
    };
    system.each(&mut visit).unwrap();
    assert_eq!(count, 20_000);
    let under = codes(&terminology, "http://large", ("concept", "descendent-of", "c00005"));
    assert_eq!(under.split(' ').count(), 10 + 100 + 1_000);
}
