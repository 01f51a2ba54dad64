//! FHIR's primitive types: which texts are values of them (<https://hl7.org/fhir/R4/datatypes.html>), and
//! what span of time or of numbers a text stands for.
