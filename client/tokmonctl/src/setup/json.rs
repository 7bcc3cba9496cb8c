//! Entries in JSON files: the text is edited, not written anew, so comments, order and indentation stay.

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstArray, CstContainerNode, CstInputValue, CstNode, CstObject, CstRootNode};
use serde_json::{Map, Value};

use super::edit::{Edit, Entry, Mark};

const STRICT: ParseOptions = ParseOptions {
    allow_comments: true,
    allow_trailing_commas: true,
    allow_loose_object_property_names: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// The text with the entries in it, and the names of foreign entries that are in the way of ours.
///
/// Errors: one sentence that says what is wrong with the text.
pub(super) fn install(text: &str, edits: &[Edit]) -> Result<(String, Vec<String>), String> {
    let mut foreign = Vec::new();
    let changed = edited(text, |root| {
        for Edit { entry, mark, .. } in edits {
            match entry {
                Entry::Member { path, value } => {
                    if !put(root, path, value, |old| mark.is_on(old))? {
                        foreign.push(path.join("."));
                    }
                }
                Entry::Needed { path, value } => drop(put(root, path, value, |_| false)?),
                Entry::Group { path, members } => {
                    if let Some(other) = other_member(root, path, members, mark) {
                        foreign.push(other);
                        continue;
                    }
                    for (name, value) in members {
                        let path: Vec<&str> = path.iter().copied().chain([name.as_str()]).collect();
                        put(root, &path, value, |_| true)?;
                    }
                }
                Entry::Handler { path, group, value } => handle(root, path, group.as_ref(), value, mark)?,
            }
        }
        Ok(())
    })?;
    Ok((changed, foreign))
}

/// The text without the entries. Containers that become empty by it go too.
///
/// Errors: one sentence that says what is wrong with the text.
pub(super) fn remove(text: &str, edits: &[Edit]) -> Result<String, String> {
    edited(text, |root| {
        for Edit { entry, mark, .. } in edits {
            match entry {
                Entry::Needed { .. } => {}
                Entry::Group { path, members } => {
                    let Some(object) = find(root, path) else { continue };
                    if !mark.is_on(&present(&object, members)) {
                        continue;
                    }
                    for prop in members.keys().filter_map(|name| object.get(name)) {
                        prop.remove();
                    }
                    prune(object.into());
                }
                Entry::Member { path, .. } => {
                    let (Some(above), Some(last)) = (find(root, &path[..path.len() - 1]), path.last()) else {
                        continue;
                    };
                    let ours = above.get(last).filter(|prop| {
                        let value = prop.value().and_then(|v| v.to_serde_value());
                        value.is_some_and(|value| mark.is_on(&value))
                    });
                    if let Some(ours) = ours {
                        ours.remove();
                        prune(above.into());
                    }
                }
                Entry::Handler { path, .. } => {
                    let list = find(root, &path[..path.len() - 1])
                        .and_then(|above| above.array_value(path.last().copied().unwrap_or_default()));
                    if let Some(list) = list {
                        unhandle(&list, mark);
                    }
                }
            }
        }
        Ok(())
    })
}

/// Whether there is nothing in it.
pub(super) fn is_empty(text: &str) -> bool {
    matches!(serde_json::from_str(text.trim()), Ok(Value::Object(o)) if o.is_empty())
        || text.trim().is_empty()
}

fn edited(text: &str, edit: impl FnOnce(&CstObject) -> Result<(), String>) -> Result<String, String> {
    let (bom, body) = match text.strip_prefix('\u{feff}') {
        Some(body) => ("\u{feff}", body),
        None => ("", text),
    };
    let fresh = body.trim().is_empty();
    let body = if fresh { "{}\n" } else { body };
    let root = CstRootNode::parse(body, &STRICT).map_err(|e| format!("it is not JSON: {e}"))?;
    let object = root
        .object_value()
        .ok_or_else(|| "it is JSON, but no object".to_owned())?;
    edit(&object)?;
    let changed = root.to_string();
    // What was not changed stays what it was, to the byte.
    Ok(if changed == body && fresh {
        text.to_owned()
    } else {
        format!("{bom}{changed}")
    })
}

/// The object at a path, if all of it is there.
fn find(root: &CstObject, path: &[&str]) -> Option<CstObject> {
    path.iter()
        .try_fold(root.clone(), |object, name| object.object_value(name))
}

/// The members of an object that go by these names.
fn present(object: &CstObject, names: &Map<String, Value>) -> Value {
    let value = |name: &String| object.get(name)?.value()?.to_serde_value();
    Value::Object(
        names
            .keys()
            .filter_map(|name| Some((name.clone(), value(name)?)))
            .collect(),
    )
}

/// The name of a member that is there and not ours.
fn other_member(
    root: &CstObject,
    path: &[&str],
    members: &Map<String, Value>,
    mark: &Mark,
) -> Option<String> {
    let there = present(&find(root, path)?, members);
    let name = there.as_object()?.keys().next()?;
    (!mark.is_on(&there)).then(|| format!("{}.{name}", path.join(".")))
}

/// Puts a value at a path. A value that is there is replaced when it may be; `false`: it may not.
fn put(
    root: &CstObject,
    path: &[&str],
    value: &Value,
    may_replace: impl Fn(&Value) -> bool,
) -> Result<bool, String> {
    let mut object = root.clone();
    for (depth, name) in path.iter().enumerate() {
        let rest = &path[depth + 1..];
        let Some(prop) = object.get(name) else {
            let nested = rest.iter().rev().fold(value.clone(), |inner, name| {
                Value::Object(Map::from_iter([((*name).to_owned(), inner)]))
            });
            object.append(name, input(&nested));
            return Ok(true);
        };
        if rest.is_empty() {
            let old = prop.value().and_then(|v| v.to_serde_value()).unwrap_or_default();
            if old != *value {
                if !may_replace(&old) {
                    return Ok(false);
                }
                prop.set_value(input(value));
            }
            return Ok(true);
        }
        object = prop
            .object_value()
            .ok_or_else(|| format!("`{}` in it is no object", path[..=depth].join(".")))?;
    }
    Ok(true)
}

/// Puts a handler into a list: in the place of ours, or behind all others.
fn handle(
    root: &CstObject,
    path: &[&str],
    group: Option<&Map<String, Value>>,
    value: &Value,
    mark: &Mark,
) -> Result<(), String> {
    let element = match group {
        None => value.clone(),
        Some(more) => {
            let mut group = more.clone();
            group.insert("hooks".to_owned(), Value::Array(vec![value.clone()]));
            Value::Object(group)
        }
    };
    let (last, above) = path.split_last().ok_or("nowhere to put it")?;
    let Some(list) = find(root, above).and_then(|object| object.get(last)) else {
        return put(root, path, &Value::Array(vec![element]), |_| false).map(drop);
    };
    let list = list
        .array_value()
        .ok_or_else(|| format!("`{}` in it is no list", path.join(".")))?;
    let mut ours = handlers(&list)
        .into_iter()
        .filter(|(_, handler)| mark.is_on(handler));
    let Some((node, old)) = ours.next() else {
        list.append(input(&element));
        return Ok(());
    };
    if old != *value {
        replace(node, value);
    }
    // A second one would only ask twice.
    for (node, _) in ours {
        node.remove();
    }
    Ok(())
}

/// Every handler of a list, in groups or not, with its value.
fn handlers(list: &CstArray) -> Vec<(CstNode, Value)> {
    let mut found = Vec::new();
    for element in list.elements() {
        let inner = element.as_object().and_then(|group| group.array_value("hooks"));
        let nodes = inner.map_or_else(|| vec![element.clone()], |inner| inner.elements());
        found.extend(nodes.into_iter().filter_map(|node| {
            let value = node.to_serde_value()?;
            Some((node, value))
        }));
    }
    found
}

/// Puts a value in the place of an element.
fn replace(node: CstNode, value: &Value) {
    let list = node.parent().and_then(|parent| parent.as_array());
    if let (Some(list), Some(at)) = (list, node.element_index()) {
        list.insert(at, input(value));
        node.remove();
    }
}

fn unhandle(list: &CstArray, mark: &Mark) {
    for element in list.elements() {
        let inner = element.as_object().and_then(|group| group.array_value("hooks"));
        let on = |node: &CstNode| node.to_serde_value().is_some_and(|value| mark.is_on(&value));
        match inner {
            None if on(&element) => element.remove(),
            None => {}
            Some(inner) => {
                let (ours, others): (Vec<_>, Vec<_>) = inner.elements().into_iter().partition(on);
                match (ours.is_empty(), others.is_empty()) {
                    (false, true) => element.remove(),
                    _ => ours.into_iter().for_each(CstNode::remove),
                }
            }
        }
    }
    prune(list.clone().into());
}

/// Removes a container that is empty, and those around it that are then. The root stays.
fn prune(container: CstContainerNode) {
    let remarks = container.children().iter().any(CstNode::is_comment);
    if remarks || !container.children_exclude_trivia_and_tokens().is_empty() {
        return;
    }
    let Some(prop) = container.parent().and_then(|above| above.as_object_prop()) else {
        return;
    };
    let around = prop.parent();
    prop.remove();
    if let Some(around) = around {
        prune(around);
    }
}

fn input(value: &Value) -> CstInputValue {
    match value {
        Value::Null => CstInputValue::Null,
        Value::Bool(b) => CstInputValue::Bool(*b),
        Value::Number(n) => CstInputValue::Number(n.to_string()),
        Value::String(s) => CstInputValue::String(s.clone()),
        Value::Array(list) => CstInputValue::Array(list.iter().map(input).collect()),
        Value::Object(map) => CstInputValue::Object(
            map.iter()
                .map(|(name, value)| (name.clone(), input(value)))
                .collect(),
        ),
    }
}

#[cfg(test)]
mod tests;
