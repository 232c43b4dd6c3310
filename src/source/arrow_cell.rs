//! Values of Arrow columns as cells.

use std::borrow::Cow;
use std::fmt::Display;

use arrow_array::cast::AsArray;
use arrow_array::temporal_conversions::{as_date, as_datetime, as_time};
use arrow_array::types::*;
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, PrimitiveArray, StructArray};
use arrow_schema::{DataType, TimeUnit};

use super::rows::Cell;

/// What a type can be used as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// An image, or a text that the file does not call one.
    Bytes,
    /// `bytes` of an image and its `path`, either of which may be missing.
    Image,
    /// A number, a boolean, a date or a time.
    Scalar,
    Other,
}

impl Kind {
    pub(super) fn of(kind: &DataType) -> Self {
        match kind {
            DataType::Utf8 => Self::Text,
            DataType::Binary | DataType::FixedSizeBinary(_) => Self::Bytes,
            DataType::Struct(fields) => {
                let has = |name, wanted| fields.find(name).is_some_and(|(_, f)| Self::of(f.data_type()) == wanted);
                if has("bytes", Self::Bytes) || has("path", Self::Text) { Self::Image } else { Self::Other }
            }
            DataType::Null | DataType::Boolean => Self::Scalar,
            DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal256(..) => Self::Scalar,
            DataType::Duration(_) | DataType::Interval(_) => Self::Other,
            kind if kind.is_primitive() => Self::Scalar,
            _ => Self::Other,
        }
    }
}

/// The text, path or image in a row.
pub(super) fn content(array: &ArrayRef, row: usize) -> Cell<'_> {
    if let Some(image) = array.as_struct_opt() {
        return if image.is_null(row) { Cell::Missing } else { image_cell(image, row) };
    }
    if array.is_null(row) {
        return Cell::Missing;
    }
    match bytes(array, row) {
        Some(bytes) => Cell::Image(Cow::Borrowed(bytes)),
        None => scalar(array, row),
    }
}

fn image_cell(image: &StructArray, row: usize) -> Cell<'_> {
    let bytes = image.column_by_name("bytes").filter(|column| column.is_valid(row)).and_then(|c| bytes(c, row));
    match (bytes, image.column_by_name("path")) {
        (Some(bytes), _) => Cell::Image(Cow::Borrowed(bytes)),
        (None, Some(path)) => scalar(path, row),
        (None, None) => Cell::Missing,
    }
}

fn bytes(array: &ArrayRef, row: usize) -> Option<&[u8]> {
    let variable = array.as_binary_opt::<i32>().map(|array| array.value(row));
    variable.or_else(|| array.as_fixed_size_binary_opt().map(|array| array.value(row)))
}

/// The value in a row, as text.
pub(super) fn scalar(array: &ArrayRef, row: usize) -> Cell<'_> {
    if array.is_null(row) || array.data_type() == &DataType::Null {
        return Cell::Missing;
    }
    if let Some(texts) = array.as_string_opt::<i32>() {
        return Cell::Text(Cow::Borrowed(texts.value(row)));
    }
    if let Some(bytes) = bytes(array, row) {
        return Cell::utf8(bytes);
    }
    match shown(array, row) {
        Some(value) => Cell::Scalar(value),
        None => Cell::Unusable(format!("a {} that cannot be shown", array.data_type()).into()),
    }
}

/// Numbers as Rust writes them, times as ISO 8601 does.
fn shown(array: &ArrayRef, row: usize) -> Option<String> {
    fn number<T: ArrowPrimitiveType<Native: Display>>(array: &ArrayRef, row: usize) -> Option<String> {
        Some(array.as_primitive_opt::<T>()?.value(row).to_string())
    }
    fn column<T: ArrowPrimitiveType>(array: &ArrayRef) -> Option<&PrimitiveArray<T>> {
        array.as_primitive_opt::<T>()
    }
    fn moment<T: ArrowTemporalType + ArrowPrimitiveType<Native = i64>>(array: &ArrayRef, row: usize) -> Option<String> {
        Some(format!("{:?}", as_datetime::<T>(column::<T>(array)?.value(row))?))
    }
    match array.data_type() {
        DataType::Boolean => Some(array.as_boolean_opt()?.value(row).to_string()),
        DataType::Int8 => number::<Int8Type>(array, row),
        DataType::Int16 => number::<Int16Type>(array, row),
        DataType::Int32 => number::<Int32Type>(array, row),
        DataType::Int64 => number::<Int64Type>(array, row),
        DataType::UInt8 => number::<UInt8Type>(array, row),
        DataType::UInt16 => number::<UInt16Type>(array, row),
        DataType::UInt32 => number::<UInt32Type>(array, row),
        DataType::UInt64 => number::<UInt64Type>(array, row),
        DataType::Float16 => number::<Float16Type>(array, row),
        DataType::Float32 => number::<Float32Type>(array, row),
        DataType::Float64 => number::<Float64Type>(array, row),
        DataType::Decimal32(..) => Some(column::<Decimal32Type>(array)?.value_as_string(row)),
        DataType::Decimal64(..) => Some(column::<Decimal64Type>(array)?.value_as_string(row)),
        DataType::Decimal128(..) => Some(column::<Decimal128Type>(array)?.value_as_string(row)),
        DataType::Decimal256(..) => Some(column::<Decimal256Type>(array)?.value_as_string(row)),
        DataType::Date32 => Some(as_date::<Date32Type>(column::<Date32Type>(array)?.value(row).into())?.to_string()),
        DataType::Date64 => Some(as_date::<Date64Type>(column::<Date64Type>(array)?.value(row))?.to_string()),
        DataType::Time32(_) => {
            let value = column::<Time32MillisecondType>(array)?.value(row);
            Some(as_time::<Time32MillisecondType>(value.into())?.to_string())
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            Some(as_time::<Time64MicrosecondType>(column::<Time64MicrosecondType>(array)?.value(row))?.to_string())
        }
        DataType::Time64(_) => {
            Some(as_time::<Time64NanosecondType>(column::<Time64NanosecondType>(array)?.value(row))?.to_string())
        }
        DataType::Timestamp(unit, zone) => {
            let moment = match unit {
                TimeUnit::Second => moment::<TimestampSecondType>(array, row),
                TimeUnit::Millisecond => moment::<TimestampMillisecondType>(array, row),
                TimeUnit::Microsecond => moment::<TimestampMicrosecondType>(array, row),
                TimeUnit::Nanosecond => moment::<TimestampNanosecondType>(array, row),
            };
            // Parquet's zoned times are in UTC.
            moment.map(|moment| if zone.is_some() { moment + "Z" } else { moment })
        }
        _ => None,
    }
}
