//! Writes JSON text straight into bytes: objects with their members (<https://hl7.org/fhir/R4/json.html>). Knows no
//! resource types; the caller gives members in the order of the specification.

use fhirpath::tree::write_string;

/// Appends a decimal number.
pub(crate) fn number(out: &mut Vec<u8>, value: u64) {
    let mut digits = [0_u8; 20];
    let mut rest = value;
    let mut count = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        count += 1;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(digits.len() - count..).unwrap_or_default());
}

/// Writes the members of an object: `{"a":..,"b":..}`.
pub(crate) struct Object<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl<'a> Object<'a> {
    /// Opens it.
    pub(crate) fn open(out: &'a mut Vec<u8>) -> Object<'a> {
        out.push(b'{');
        Object { out, first: true }
    }

    /// Begins a member, whose value the caller appends. `name` needs no escapes.
    pub(crate) fn member(&mut self, name: &str) -> &mut Vec<u8> {
        if !std::mem::replace(&mut self.first, false) {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    /// A member with a text.
    pub(crate) fn text(&mut self, name: &str, value: &str) -> &mut Self {
        write_string(self.member(name), value);
        self
    }

    /// A member with a number.
    pub(crate) fn number(&mut self, name: &str, value: u64) -> &mut Self {
        number(self.member(name), value);
        self
    }

    /// A member with `true` or `false`.
    pub(crate) fn boolean(&mut self, name: &str, value: bool) -> &mut Self {
        self.member(name).extend_from_slice(if value { b"true" } else { b"false" });
        self
    }

    /// A member with an object.
    pub(crate) fn object(&mut self, name: &str, fill: impl FnOnce(&mut Object<'_>)) -> &mut Self {
        let mut inner = Object::open(self.member(name));
        fill(&mut inner);
        inner.close();
        self
    }

    /// A member with an array, each item written by `each`.
    pub(crate) fn array<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        mut each: impl FnMut(T, &mut Vec<u8>),
    ) -> &mut Self {
        let out = self.member(name);
        out.push(b'[');
        for (at, item) in items.into_iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            each(item, out);
        }
        out.push(b']');
        self
    }

    /// A member with an array of objects.
    pub(crate) fn objects<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        mut each: impl FnMut(T, &mut Object<'_>),
    ) -> &mut Self {
        self.array(name, items, |item, out| {
            let mut inner = Object::open(out);
            each(item, &mut inner);
            inner.close();
        })
    }

    /// A member with an array of texts.
    pub(crate) fn texts<T: AsRef<str>>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
    ) -> &mut Self {
        self.array(name, items, |item, out| write_string(out, item.as_ref()))
    }

    /// Closes it.
    pub(crate) fn close(self) {
        self.out.push(b'}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_full() {
        for value in [0, 1, 9, 10, 1_234_567, u64::MAX] {
            let mut out = Vec::new();
            number(&mut out, value);
            assert_eq!(out, value.to_string().as_bytes());
        }
    }

    #[test]
    fn objects_hold_members_arrays_and_objects() {
        let mut out = Vec::new();
        let mut object = Object::open(&mut out);
        object.text("a", "x\"").number("n", 7).boolean("b", true).texts("t", ["1", "2"]);
        object.texts("none", [""; 0]);
        object.objects("o", [1, 2], |item, out| {
            out.number("i", item).object("p", |_| {});
        });
        object.close();
        let text = std::str::from_utf8(&out).unwrap();
        assert_eq!(
            text,
            r#"{"a":"x\"","n":7,"b":true,"t":["1","2"],"none":[],"o":[{"i":1,"p":{}},{"i":2,"p":{}}]}"#
        );
    }
}
