//! Writes protobuf for the tests of the reader: the JSON form of an export request in the other form, by the numbers
//! of OTLP's definitions.

use serde_json::Value;

use super::record::Signal;

fn varint(into: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

fn bytes(into: &mut Vec<u8>, field: u64, content: &[u8]) {
    varint(into, field << 3 | 2);
    varint(into, content.len() as u64);
    into.extend(content);
}

fn fixed64(into: &mut Vec<u8>, field: u64, number: u64) {
    varint(into, field << 3 | 1);
    into.extend(number.to_le_bytes());
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn nanos(value: &Value) -> u64 {
    text(value).parse().unwrap_or(0)
}

fn id(value: &Value) -> Vec<u8> {
    let digits = text(value).as_bytes().chunks(2);
    let parse = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.map(parse).collect()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn any_value(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some(text) = value["stringValue"].as_str() {
        bytes(&mut out, 1, text.as_bytes());
    } else if let Some(flag) = value["boolValue"].as_bool() {
        varint(&mut out, 2 << 3);
        varint(&mut out, u64::from(flag));
    } else if let Some(number) = value["intValue"].as_str() {
        varint(&mut out, 3 << 3);
        varint(&mut out, number.parse::<i64>().unwrap().cast_unsigned());
    } else if let Some(number) = value["doubleValue"].as_f64() {
        fixed64(&mut out, 4, number.to_bits());
    }
    out
}

pub(super) fn attributes(into: &mut Vec<u8>, field: u64, all: &Value) {
    for pair in list(all) {
        let mut out = Vec::new();
        bytes(&mut out, 1, text(&pair["key"]).as_bytes());
        bytes(&mut out, 2, &any_value(&pair["value"]));
        bytes(into, field, &out);
    }
}

fn log(record: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    fixed64(&mut out, 1, nanos(&record["timeUnixNano"]));
    // Severity, which nobody asks for.
    varint(&mut out, 2 << 3);
    varint(&mut out, 9);
    bytes(&mut out, 5, &any_value(&record["body"]));
    attributes(&mut out, 6, &record["attributes"]);
    // Flags.
    varint(&mut out, 8 << 3 | 5);
    out.extend([1, 0, 0, 0]);
    bytes(&mut out, 9, &id(&record["traceId"]));
    bytes(&mut out, 10, &id(&record["spanId"]));
    fixed64(&mut out, 11, nanos(&record["observedTimeUnixNano"]));
    bytes(&mut out, 12, text(&record["eventName"]).as_bytes());
    out
}

fn span(record: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    bytes(&mut out, 1, &id(&record["traceId"]));
    bytes(&mut out, 2, &id(&record["spanId"]));
    bytes(&mut out, 5, text(&record["name"]).as_bytes());
    fixed64(&mut out, 7, nanos(&record["startTimeUnixNano"]));
    fixed64(&mut out, 8, nanos(&record["endTimeUnixNano"]));
    attributes(&mut out, 9, &record["attributes"]);
    let mut status = Vec::new();
    varint(&mut status, 3 << 3);
    varint(&mut status, record["status"]["code"].as_u64().unwrap_or(0));
    bytes(&mut out, 15, &status);
    out
}

/// The body of an export request.
pub(super) fn request(signal: Signal, request: &Value) -> Vec<u8> {
    let (groups, scopes, records) = match signal {
        Signal::Traces => ("resourceSpans", "scopeSpans", "spans"),
        _ => ("resourceLogs", "scopeLogs", "logRecords"),
    };
    let mut out = Vec::new();
    for group in list(&request[groups]) {
        let mut in_group = Vec::new();
        for scope in list(&group[scopes]) {
            let mut in_scope = Vec::new();
            for record in list(&scope[records]) {
                let record = match signal {
                    Signal::Traces => span(record),
                    _ => log(record),
                };
                bytes(&mut in_scope, 2, &record);
            }
            bytes(&mut in_group, 2, &in_scope);
        }
        let mut resource = Vec::new();
        attributes(&mut resource, 1, &group["resource"]["attributes"]);
        bytes(&mut in_group, 1, &resource);
        bytes(&mut out, 1, &in_group);
    }
    out
}

/// The body of an export request of sums.
pub(super) fn metrics(request: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    for group in list(&request["resourceMetrics"]) {
        let mut in_group = Vec::new();
        for scope in list(&group["scopeMetrics"]) {
            let mut in_scope = Vec::new();
            for metric in list(&scope["metrics"]) {
                let mut sum = Vec::new();
                for point in list(&metric["sum"]["dataPoints"]) {
                    bytes(&mut sum, 1, &data_point(point));
                }
                varint(&mut sum, 2 << 3);
                varint(
                    &mut sum,
                    metric["sum"]["aggregationTemporality"].as_u64().unwrap_or(0),
                );
                let mut in_metric = Vec::new();
                bytes(&mut in_metric, 1, text(&metric["name"]).as_bytes());
                bytes(&mut in_metric, 7, &sum);
                bytes(&mut in_scope, 2, &in_metric);
            }
            bytes(&mut in_group, 2, &in_scope);
        }
        let mut resource = Vec::new();
        attributes(&mut resource, 1, &group["resource"]["attributes"]);
        bytes(&mut in_group, 1, &resource);
        bytes(&mut out, 1, &in_group);
    }
    out
}

fn data_point(point: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    fixed64(&mut out, 2, nanos(&point["startTimeUnixNano"]));
    fixed64(&mut out, 3, nanos(&point["timeUnixNano"]));
    if let Some(number) = point["asDouble"].as_f64() {
        fixed64(&mut out, 4, number.to_bits());
    } else if let Ok(number) = text(&point["asInt"]).parse::<i64>() {
        fixed64(&mut out, 6, number.cast_unsigned());
    }
    attributes(&mut out, 7, &point["attributes"]);
    out
}
