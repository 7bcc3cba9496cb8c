//! Metrics out of an export request: the sums that agents keep of their tokens and costs, point by point.

use std::borrow::Cow;

use super::attributes::{Attributes, Value};
use super::json;
use super::protobuf::{self, Field, Fields};
use super::record::{Encoding, Signal};
use crate::agents::json::{Problem, Reader};
use crate::agents::values::hash;

type Result<T> = std::result::Result<T, Problem>;

/// One point of a sum.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Point<'a> {
    /// The metric's name.
    pub(super) metric: Cow<'a, str>,
    /// It is all since `start`, not only what came since the point before.
    pub(super) cumulative: bool,
    /// Nanoseconds since the epoch.
    pub(super) start: u64,
    /// See `start`.
    pub(super) time: u64,
    /// The figure.
    pub(super) value: Option<Value<'a>>,
    /// What it is about.
    pub(super) attributes: Attributes<'a>,
    /// Which series it belongs to: a hash of all its attributes, also of those that are of no interest.
    pub(super) series: u64,
}

/// Takes points one by one, with the attributes of interest of their resource.
pub(super) trait Points {
    /// One point.
    fn point(&mut self, resource: &Attributes<'_>, point: &Point<'_>);
}

/// Reads the body of an export request of metrics. Only sums are looked into.
///
/// # Errors
/// It is no such message. Points before the place where it breaks have been handed over.
pub(super) fn decode(encoding: Encoding, body: &[u8], points: &mut dyn Points) -> Result<()> {
    match encoding {
        Encoding::Protobuf => protobuf::each_scope(body, |resource, scope| {
            let mut fields = Fields::new(scope);
            while let Some((number, field)) = fields.next()? {
                if number == 2 {
                    metric(resource, field.bytes(), points)?;
                }
            }
            Ok(())
        }),
        Encoding::Json => json::each(Signal::Metrics, body, |resource, reader| {
            json_metric(resource, reader, points)
        }),
    }
}

fn metric(resource: &Attributes<'_>, message: &[u8], points: &mut dyn Points) -> Result<()> {
    let (mut name, mut sum): (_, &[u8]) = (Cow::default(), &[]);
    let mut fields = Fields::new(message);
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => name = field.text(),
            7 => sum = field.bytes(),
            _ => {}
        }
    }
    let mut cumulative = false;
    let mut fields = Fields::new(sum);
    while let Some((number, field)) = fields.next()? {
        if number == 2 {
            cumulative = field.varint() == 2;
        }
    }
    let mut fields = Fields::new(sum);
    while let Some((number, field)) = fields.next()? {
        if number == 1 {
            let mut point = Point {
                metric: name.clone(),
                cumulative,
                series: hash(&[name.as_bytes()]),
                ..Point::default()
            };
            data_point(field.bytes(), &mut point)?;
            points.point(resource, &point);
        }
    }
    Ok(())
}

fn data_point<'a>(message: &'a [u8], point: &mut Point<'a>) -> Result<()> {
    let mut fields = Fields::new(message);
    while let Some((number, field)) = fields.next()? {
        match (number, field) {
            (2, _) => point.start = field.fixed64(),
            (3, _) => point.time = field.fixed64(),
            (4, Field::Fixed64(bits)) => point.value = Some(Value::Double(f64::from_bits(bits))),
            (6, Field::Fixed64(bits)) => point.value = Some(Value::Int(bits.cast_signed())),
            (7, _) => {
                point.series = hash(&[&point.series.to_le_bytes(), field.bytes()]);
                protobuf::attribute(field.bytes(), &mut point.attributes)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn json_metric(resource: &Attributes<'_>, reader: &mut Reader<'_>, points: &mut dyn Points) -> Result<()> {
    let mut name = Cow::default();
    let (mut data, mut cumulative): (&[u8], _) = (b"null", false);
    reader.object(|reader, key| {
        match key {
            b"name" => name = reader.text()?.unwrap_or_default(),
            b"sum" => {
                reader.object(|reader, key| {
                    match key {
                        b"dataPoints" | b"data_points" => data = reader.raw()?,
                        b"aggregationTemporality" | b"aggregation_temporality" => {
                            let said = reader.raw()?;
                            cumulative = matches!(said, b"2" | b"\"AGGREGATION_TEMPORALITY_CUMULATIVE\"");
                        }
                        _ => reader.skip()?,
                    }
                    Ok(())
                })?;
            }
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    Reader::new(data).array(|reader| {
        let mut point = Point {
            metric: name.clone(),
            cumulative,
            ..Point::default()
        };
        reader.object(|reader, key| {
            match key {
                b"startTimeUnixNano" | b"start_time_unix_nano" => point.start = json::nanos(reader)?,
                b"timeUnixNano" | b"time_unix_nano" => point.time = json::nanos(reader)?,
                b"asInt" | b"as_int" | b"asDouble" | b"as_double" => point.value = json::number(reader)?,
                b"attributes" => {
                    let raw = reader.raw()?;
                    point.series = hash(&[name.as_bytes(), raw]);
                    json::attributes(&mut Reader::new(raw), &mut point.attributes)?;
                }
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        points.point(resource, &point);
        Ok(())
    })
}
