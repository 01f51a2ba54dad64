//! Rows as a Parquet file (<https://parquet.apache.org/docs/file-format/>), written with Apache's own crate without arrow.
//!
//! Booleans are BOOLEAN, whole numbers INT64, everything else a string: decimals too, so that no digit is lost. A collection
//! is a LIST of three levels. Nothing is compressed.

use std::sync::Arc;

use parquet::basic::{ConvertedType, LogicalType, Repetition, Type as Physical};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{Type, TypePtr};

use crate::column::{Column, Kind};
use crate::value::{Cell, Row};

/// Rows of a group: what is held before it is written.
const GROUP_ROWS: usize = 50_000;

pub(super) struct Table {
    writer: SerializedFileWriter<Vec<u8>>,
    columns: Vec<Buffer>,
    rows: usize,
    /// About how many bytes the rows of the group take.
    pending: usize,
}

/// The values of one column of a group.
struct Buffer {
    values: Values,
    definitions: Vec<i16>,
    /// Of a collection.
    repetitions: Option<Vec<i16>>,
}

enum Values {
    Booleans(Vec<bool>),
    Integers(Vec<i64>),
    Texts(Vec<ByteArray>),
}

impl Table {
    pub fn new(columns: &[Column]) -> Result<Table> {
        let fields = columns.iter().map(field).collect::<Result<Vec<TypePtr>>>()?;
        let schema = Type::group_type_builder("schema").with_fields(fields).build()?;
        let properties = Arc::new(WriterProperties::builder().build());
        let writer = SerializedFileWriter::new(Vec::new(), Arc::new(schema), properties)?;
        Ok(Table { writer, columns: columns.iter().map(Buffer::new).collect(), rows: 0, pending: 0 })
    }

    pub fn row(&mut self, row: &Row<'_>) -> Result<()> {
        for (buffer, cell) in self.columns.iter_mut().zip(row) {
            buffer.add(cell)?;
        }
        self.rows += 1;
        self.pending += row.iter().map(Cell::bytes).sum::<usize>();
        if self.rows >= GROUP_ROWS { self.flush() } else { Ok(()) }
    }

    /// About how many bytes it has so far.
    pub fn held(&self) -> usize {
        self.writer.bytes_written() + self.pending
    }

    fn flush(&mut self) -> Result<()> {
        (self.rows, self.pending) = (0, 0);
        let mut group = self.writer.next_row_group()?;
        for buffer in &mut self.columns {
            let Some(mut column) = group.next_column()? else {
                return Err(ParquetError::General("a column is missing".to_owned()));
            };
            buffer.write(column.untyped())?;
            column.close()?;
        }
        group.close()?;
        Ok(())
    }

    pub fn finish(mut self) -> Result<Vec<u8>> {
        if self.rows > 0 {
            self.flush()?;
        }
        self.writer.into_inner()
    }
}

fn field(column: &Column) -> Result<TypePtr> {
    let physical = match column.kind {
        Kind::Boolean => Physical::BOOLEAN,
        Kind::Integer => Physical::INT64,
        Kind::Decimal | Kind::Text | Kind::Json => Physical::BYTE_ARRAY,
    };
    let name = if column.collection { "element" } else { column.name.as_str() };
    let mut value = Type::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL);
    if physical == Physical::BYTE_ARRAY {
        value = value.with_logical_type(Some(LogicalType::String)).with_converted_type(ConvertedType::UTF8);
    }
    let value = Arc::new(value.build()?);
    if !column.collection {
        return Ok(value);
    }
    let items = Type::group_type_builder("list")
        .with_repetition(Repetition::REPEATED)
        .with_fields(vec![value])
        .build()?;
    let list = Type::group_type_builder(&column.name)
        .with_repetition(Repetition::OPTIONAL)
        .with_logical_type(Some(LogicalType::List))
        .with_converted_type(ConvertedType::LIST)
        .with_fields(vec![Arc::new(items)])
        .build()?;
    Ok(Arc::new(list))
}

impl Buffer {
    fn new(column: &Column) -> Buffer {
        let values = match column.kind {
            Kind::Boolean => Values::Booleans(Vec::new()),
            Kind::Integer => Values::Integers(Vec::new()),
            Kind::Decimal | Kind::Text | Kind::Json => Values::Texts(Vec::new()),
        };
        Buffer { values, definitions: Vec::new(), repetitions: column.collection.then(Vec::new) }
    }

    fn add(&mut self, cell: &Cell<'_>) -> Result<()> {
        if self.repetitions.is_none() {
            let is_there = *cell != Cell::Null;
            self.definitions.push(i16::from(is_there));
            return if is_there { self.values.push(cell) } else { Ok(()) };
        }
        // No list is 0, an empty one 1, an item without a value 2, a value 3.
        let cells: &[Cell<'_>] = match cell {
            Cell::List(cells) => cells,
            _ => &[],
        };
        if cells.is_empty() {
            self.level(i16::from(*cell != Cell::Null), 0);
        }
        for (number, cell) in cells.iter().enumerate() {
            let is_there = *cell != Cell::Null;
            self.level(if is_there { 3 } else { 2 }, i16::from(number > 0));
            if is_there {
                self.values.push(cell)?;
            }
        }
        Ok(())
    }

    fn level(&mut self, definition: i16, repetition: i16) {
        self.definitions.push(definition);
        if let Some(repetitions) = &mut self.repetitions {
            repetitions.push(repetition);
        }
    }

    fn write(&mut self, column: &mut ColumnWriter<'_>) -> Result<()> {
        let definitions = std::mem::take(&mut self.definitions);
        let repetitions = self.repetitions.as_mut().map(std::mem::take);
        let (definitions, repetitions) = (Some(definitions.as_slice()), repetitions.as_deref());
        match (&mut self.values, column) {
            (Values::Booleans(values), ColumnWriter::BoolColumnWriter(writer)) => {
                writer.write_batch(&std::mem::take(values), definitions, repetitions)?;
            }
            (Values::Integers(values), ColumnWriter::Int64ColumnWriter(writer)) => {
                writer.write_batch(&std::mem::take(values), definitions, repetitions)?;
            }
            (Values::Texts(values), ColumnWriter::ByteArrayColumnWriter(writer)) => {
                writer.write_batch(&std::mem::take(values), definitions, repetitions)?;
            }
            _ => return Err(ParquetError::General("a column is of another type".to_owned())),
        }
        Ok(())
    }
}

impl Values {
    fn push(&mut self, cell: &Cell<'_>) -> Result<()> {
        match (self, cell) {
            (Values::Booleans(values), Cell::Boolean(value)) => values.push(*value),
            (Values::Integers(values), Cell::Integer(value)) => values.push(*value),
            (Values::Texts(values), Cell::Decimal(text) | Cell::Text(text)) => {
                values.push(ByteArray::from(text.as_ref()));
            }
            (Values::Texts(values), Cell::Json(json)) => values.push(ByteArray::from(json.clone())),
            _ => return Err(ParquetError::General("a value is of another type".to_owned())),
        }
        Ok(())
    }
}
