//! OpenAI's tools as its models see them: declarations of TypeScript in a namespace.

use std::fmt::Write;

use serde_json::Value;

/// Deepest nesting that is written out; beyond it everything is `any`.
const DEEPEST: usize = 16;

/// What stands before the tools.
pub(crate) const HEAD: &str = "namespace functions {\n\n";
/// What stands behind them.
pub(crate) const FOOT: &str = "} // namespace functions";

/// One function: `function` is the object with `name`, `description` and `parameters`.
///
/// It begins and ends where pieces of the encodings do, so its count can be added to that of the others.
pub(crate) fn function(function: &Value) -> String {
    let mut out = String::new();
    comment(&mut out, function);
    let name = function["name"].as_str().unwrap_or_default();
    let parameters = &function["parameters"];
    let empty = parameters["properties"]
        .as_object()
        .is_none_or(serde_json::Map::is_empty);
    if empty {
        let _ = write!(out, "type {name} = () => any;\n\n");
    } else {
        let _ = write!(out, "type {name} = (_: {}) => any;\n\n", kind(parameters, 0));
    }
    out
}

fn comment(out: &mut String, of: &Value) {
    if let Some(description) = of["description"].as_str() {
        for line in description.lines() {
            let _ = writeln!(out, "// {line}");
        }
    }
}

fn kind(schema: &Value, depth: usize) -> String {
    if depth > DEEPEST {
        return "any".to_owned();
    }
    if let Some(values) = schema["enum"].as_array() {
        return values
            .iter()
            .map(Value::to_string)
            .collect::<Vec<_>>()
            .join(" | ");
    }
    for either in ["anyOf", "oneOf"] {
        if let Some(kinds) = schema[either].as_array() {
            let kinds = kinds.iter().map(|schema| kind(schema, depth + 1));
            return kinds.collect::<Vec<_>>().join(" | ");
        }
    }
    match &schema["type"] {
        Value::String(name) => named(name, schema, depth),
        Value::Array(names) => {
            let names = names.iter().filter_map(Value::as_str);
            names
                .map(|name| named(name, schema, depth))
                .collect::<Vec<_>>()
                .join(" | ")
        }
        _ if schema["properties"].is_object() => named("object", schema, depth),
        _ => "any".to_owned(),
    }
}

fn named(name: &str, schema: &Value, depth: usize) -> String {
    match name {
        "integer" | "number" => "number".to_owned(),
        "array" => format!("{}[]", kind(&schema["items"], depth + 1)),
        "object" => object(schema, depth),
        other => other.to_owned(),
    }
}

fn object(schema: &Value, depth: usize) -> String {
    let Some(properties) = schema["properties"].as_object() else {
        return "object".to_owned();
    };
    let required = |name: &str| {
        let required = schema["required"].as_array();
        required.is_some_and(|required| required.iter().any(|one| one == name))
    };
    let mut out = "{\n".to_owned();
    for (name, property) in properties {
        comment(&mut out, property);
        let mark = if required(name) { "" } else { "?" };
        let _ = write!(out, "{name}{mark}: {},", kind(property, depth + 1));
        if let Some(default) = property.get("default") {
            let _ = write!(out, " // default: {default}");
        }
        out.push('\n');
    }
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_a_declaration() {
        let weather = serde_json::json!({
            "name": "weather",
            "description": "Tells the weather.",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "Where"},
                    "days": {"type": "integer", "default": 1},
                    "parts": {"type": "array", "items": {"enum": ["wind", "rain"]}},
                    "where": {"type": "object", "properties": {"lat": {"type": ["number", "null"]}}, "required": ["lat"]}
                },
                "required": ["city"]
            }
        });
        assert_eq!(
            function(&weather),
            "// Tells the weather.\ntype weather = (_: {\n// Where\ncity: string,\ndays?: number, // default: 1\n\
             parts?: \"wind\" | \"rain\"[],\nwhere?: {\nlat: number | null,\n},\n}) => any;\n\n"
        );
        assert_eq!(
            function(&serde_json::json!({"name": "now"})),
            "type now = () => any;\n\n"
        );
        assert_eq!(function(&Value::Null), "type  = () => any;\n\n");
    }

    #[test]
    fn a_schema_may_be_as_deep_as_it_likes() {
        let mut schema = serde_json::json!({"type": "string"});
        for _ in 0..100 {
            schema = serde_json::json!({"type": "array", "items": schema});
        }
        let parameters = serde_json::json!({"type": "object", "properties": {"a": schema}});
        let text = function(&serde_json::json!({"name": "deep", "parameters": parameters}));
        assert!(text.contains("any[][]") && text.len() < 200, "{text}");
    }
}
