use super::{Decimal, Primitive, ValueError, decimal, span};

fn check(primitive: Primitive, good: &[&str], bad: &[&str], out_of_range: &[&str]) {
    for text in good {
        assert_eq!(primitive.check(text), Ok(()), "{text:?} as {}", primitive.name());
    }
    for text in bad {
        assert_eq!(
            primitive.check(text),
            Err(ValueError::Form(primitive)),
            "{text:?} as {}",
            primitive.name()
        );
    }
    for text in out_of_range {
        assert_eq!(
            primitive.check(text),
            Err(ValueError::Range(primitive)),
            "{text:?} as {}",
            primitive.name()
        );
    }
}

#[test]
fn booleans() {
    check(Primitive::Boolean, &["true", "false"], &["", "True", "1", "true "], &[]);
}

#[test]
fn integers() {
    check(
        Primitive::Integer,
        &["0", "1", "-1", "2147483647", "-2147483648"],
        &["", "-", "-0", "01", "+1", "1.0", "1e2", " 1", "0x1"],
        &["2147483648", "-2147483649", "99999999999999999999999999"],
    );
    check(Primitive::UnsignedInt, &["0", "2147483647"], &["", "-0", "1.5"], &["-1", "2147483648"]);
    check(Primitive::PositiveInt, &["1", "2147483647"], &["", "01"], &["0", "-1", "2147483648"]);
}

#[test]
fn decimals() {
    check(
        Primitive::Decimal,
        &["0", "-0", "0.0", "1.10", "-1.5e-3", "1E+5", "1e308", "123456789012345678901234567890"],
        &["", ".5", "5.", "01", "+1", "1e", "1e+", "--1", "1,5", "NaN", "Infinity", "1 "],
        &["1e309", "-1e999999999999"],
    );
    let long = "9".repeat(400);
    check(Primitive::Decimal, &["1e-400"], &[], &[&long]);
}

#[test]
fn texts() {
    for primitive in [Primitive::String, Primitive::Markdown] {
        check(primitive, &["a", " ", "ä\n", "\u{1}"], &[""], &[]);
        assert_eq!(primitive.check(&"ä".repeat(1024 * 1024)), Ok(()), "a character may have several bytes");
        assert_eq!(primitive.check(&"a".repeat(1024 * 1024 + 1)), Err(ValueError::TooLong));
    }
    check(Primitive::Xhtml, &["<div xmlns=\"http://www.w3.org/1999/xhtml\"> x </div>"], &[""], &[]);
    check(Primitive::Code, &["a", "a b", ">=", "ä"], &["", " a", "a ", "a  b", "a\t b", "\n"], &[]);
    let (most, more) = ("x".repeat(64), "x".repeat(65));
    check(Primitive::Id, &["a", "A-1.b", &most], &["", "a_b", "ä", "a b", &more], &[]);
}

#[test]
fn uris() {
    for primitive in [Primitive::Uri, Primitive::Url, Primitive::Canonical] {
        check(primitive, &["http://a/b?c#d", "urn:x", "a", "http://a/ä|1.0"], &["", "a b", " a", "a\n"], &[]);
    }
    check(
        Primitive::Oid,
        &["urn:oid:1.2.3", "urn:oid:0.0", "urn:oid:2.16.840.1.113883"],
        &[
            "",
            "1.2.3",
            "urn:oid:1",
            "urn:oid:3.1",
            "urn:oid:1.02",
            "urn:oid:1..2",
            "urn:oid:1.2.",
            "urn:oid:1.a",
            "URN:OID:1.2",
        ],
        &[],
    );
    check(
        Primitive::Uuid,
        &["urn:uuid:c757873d-ec9a-4326-a141-556f43239520"],
        &[
            "",
            "c757873d-ec9a-4326-a141-556f43239520",
            "urn:uuid:C757873D-ec9a-4326-a141-556f43239520",
            "urn:uuid:c757873d-ec9a-4326-a141-556f4323952",
            "urn:uuid:c757873d-ec9a-4326-a141-556f432395200",
            "urn:uuid:c757873dec9a-4326-a141-556f-43239520",
            "urn:uuid:g757873d-ec9a-4326-a141-556f43239520",
        ],
        &[],
    );
}

#[test]
fn dates() {
    check(
        Primitive::Date,
        &["0001", "9999", "2020-01", "2020-02-29", "2000-02-29", "2021-12-31"],
        &[
            "",
            "20",
            "20201",
            "2020-1",
            "2020-01-1",
            "2020-01-01T00:00:00Z",
            "2020-01-",
            "2020/01/01",
            " 2020",
            "-2020",
            "202x",
        ],
        &["0000", "2020-00", "2020-13", "2020-01-00", "2020-04-31", "2021-02-29", "1900-02-29"],
    );
    check(
        Primitive::DateTime,
        &[
            "2020",
            "2020-01",
            "2020-01-01",
            "2020-01-01T23:59:60Z",
            "2020-01-01T00:00:00.123456789+14:00",
            "2020-01-01T00:00:00-00:00",
        ],
        &[
            "2020-01-01T00:00:00",
            "2020-01-01T00:00Z",
            "2020-01-01T00:00",
            "2020-01-01T",
            "2020-01T00:00:00Z",
            "2020-01-01 00:00:00Z",
            "2020-01-01T00:00:00.Z",
            "2020-01-01T00:00:00z",
            "2020-01-01T00:00:00+1:00",
            "2020-01-01T00:00:00+01:60",
            "2020-01-01T00:00:00+0100",
        ],
        &[
            "2020-01-01T24:00:00Z",
            "2020-01-01T00:60:00Z",
            "2020-01-01T00:00:61Z",
            "2020-01-01T00:00:00+14:01",
            "2021-02-29T00:00:00Z",
        ],
    );
    check(
        Primitive::Instant,
        &["2015-02-07T13:28:17.239+02:00", "2017-01-01T00:00:00Z"],
        &["2015", "2015-02-07", "2015-02-07T13:28:17", "2015-02-07T13:28Z"],
        &["2015-02-30T13:28:17Z"],
    );
    check(
        Primitive::Time,
        &["00:00:00", "23:59:60", "12:30:00.5"],
        &["", "12:30", "12:30:0", "12:30:00Z", "12:30:00.", "T12:30:00", "1:30:00"],
        &["24:00:00", "12:60:00", "12:00:61"],
    );
}

#[test]
fn base64() {
    check(
        Primitive::Base64Binary,
        &["YQ==", "YWI=", "YWJj", "YWJj\nYWJj", " Y Q = = ", "+/+/"],
        &["", " ", "YQ", "YQ=", "YQ===", "Y===", "=YQ=", "YQ==YQ==", "YQ-_", "ä"],
        &[],
    );
}

#[test]
fn names_are_their_own() {
    for primitive in Primitive::ALL {
        assert_eq!(Primitive::from_name(primitive.name()), Some(primitive));
    }
    assert_eq!(Primitive::from_name("String"), None);
}

#[test]
fn spans() {
    const DAY: i64 = 86_400_000_000;
    for (text, from, to) in [
        ("1970", 0, 365 * DAY - 1),
        ("1970-01", 0, 31 * DAY - 1),
        ("1972-02", 761 * DAY, 790 * DAY - 1),
        ("1970-01-02", DAY, 2 * DAY - 1),
        ("1969-12-31", -DAY, -1),
        ("1970-01-01T00:00", 0, 59_999_999),
        ("1970-01-01T00:01Z", 60_000_000, 119_999_999),
        ("1970-01-01T00:00:01Z", 1_000_000, 1_999_999),
        ("1970-01-01T00:00:01", 1_000_000, 1_999_999),
        ("1970-01-01T00:00:01.5Z", 1_500_000, 1_599_999),
        ("1970-01-01T00:00:01.000Z", 1_000_000, 1_000_999),
        ("1970-01-01T00:00:01.123456Z", 1_123_456, 1_123_456),
        ("1970-01-01T00:00:01.1234569Z", 1_123_456, 1_123_456),
        ("1970-01-01T01:00:00+01:00", 0, 999_999),
        ("1969-12-31T19:00:00-05:00", 0, 999_999),
        ("1970-01-01T00:00:60Z", 60_000_000, 60_999_999),
        ("2000-03-01", 11_017 * DAY, 11_018 * DAY - 1),
        ("0001-01-01", -719_162 * DAY, -719_161 * DAY - 1),
        ("9999-12-31", 2_932_896 * DAY, 2_932_897 * DAY - 1),
    ] {
        assert_eq!(span(text), Some((from, to)), "{text}");
    }
    for text in ["", "2020-02-30", "2020-1", "12:00:00", "2020-01-01T25:00", "2020-01-01T00", "now", "0000"] {
        assert_eq!(span(text), None, "{text}");
    }
}

#[test]
fn precision_of_decimals() {
    for (text, value, half_width) in [
        ("100", 100.0_f64, 0.5_f64),
        ("100.00", 100.0, 0.005),
        ("1e2", 100.0, 50.0),
        ("-1.10", -1.1, 0.005),
        ("5.40e-3", 0.0054, 0.000_005),
        ("0", 0.0, 0.5),
    ] {
        let Decimal { value: found, half_width: half } = decimal(text).unwrap();
        assert_eq!(found.to_bits(), value.to_bits(), "{text}");
        assert!((half / half_width - 1.0).abs() < 1e-12, "{text}: {half}");
    }
    for text in ["", "x", "1e999", "+1", "1.", "NaN", "1e99999999999999999999"] {
        assert_eq!(decimal(text), None, "{text}");
    }
}
