//! JSON held against a JSON Schema, as far as the project's schemas go (draft 2020-12). What a schema does not name is a
//! mistake here, and so is a word of the schema that this does not know.

use serde_json::{Map, Value};

/// Words that say nothing of a value.
const REMARKS: [&str; 9] = [
    "$defs",
    "$schema",
    "commands",
    "default",
    "deprecated",
    "description",
    "format",
    "title",
    "version",
];

/// Where and how a value is not what the schema says; none where it is.
#[must_use]
pub fn faults(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    Check { document }.value(schema, value, "$", &mut found);
    found
}

struct Check<'a> {
    document: &'a Value,
}

impl Check<'_> {
    fn value(&self, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
        let words = match schema {
            Value::Bool(true) => return,
            Value::Object(words) => words,
            other => return found.push(format!("{at}: {other} is no schema")),
        };
        for (word, said) in words {
            match &**word {
                "$ref" => match self.referred(said) {
                    Some(schema) => self.value(schema, value, at, found),
                    None => found.push(format!("{at}: {said} leads nowhere")),
                },
                "type" if !is_of(said, value) => found.push(format!("{at}: {value} is not of type {said}")),
                "const" if said != value => found.push(format!("{at}: {value} is not {said}")),
                "enum" if !list(said).contains(value) => {
                    found.push(format!("{at}: {value} is not among {said}"));
                }
                "minimum" if value.as_f64().is_some_and(|is| Some(is) < said.as_f64()) => {
                    found.push(format!("{at}: {value} is less than {said}"));
                }
                "maximum" if value.as_f64().is_some_and(|is| Some(is) > said.as_f64()) => {
                    found.push(format!("{at}: {value} is more than {said}"));
                }
                "anyOf" | "oneOf" => self.any(list(said), value, at, found),
                "allOf" => list(said)
                    .iter()
                    .for_each(|schema| self.value(schema, value, at, found)),
                "items" | "prefixItems" => self.items(word, said, value, at, found),
                "required" => {
                    let missing = list(said).iter().filter_map(Value::as_str);
                    let missing = missing.filter(|name| value.is_object() && value.get(name).is_none());
                    found.extend(missing.map(|name| format!("{at}: there is no {name}")));
                }
                "type"
                | "const"
                | "enum"
                | "minimum"
                | "maximum"
                | "properties"
                | "additionalProperties"
                | "minItems"
                | "maxItems" => {}
                remark if REMARKS.contains(&remark) => {}
                unknown => found.push(format!("{at}: a schema with the unknown word {unknown}")),
            }
        }
        if let Value::Object(fields) = value {
            self.fields(words, fields, at, found);
        }
    }

    fn referred(&self, reference: &Value) -> Option<&Value> {
        self.document.pointer(reference.as_str()?.strip_prefix('#')?)
    }

    fn any(&self, schemas: &[Value], value: &Value, at: &str, found: &mut Vec<String>) {
        let mut best: Option<Vec<String>> = None;
        for schema in schemas {
            let mut faults = Vec::new();
            self.value(schema, value, at, &mut faults);
            if best.as_ref().is_none_or(|best| faults.len() < best.len()) {
                best = Some(faults);
            }
        }
        found.extend(best.unwrap_or_default());
    }

    fn items(&self, word: &str, said: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
        for (place, item) in value.as_array().into_iter().flatten().enumerate() {
            let schema = if word == "items" {
                Some(said)
            } else {
                said.get(place)
            };
            if let Some(schema) = schema {
                self.value(schema, item, &format!("{at}[{place}]"), found);
            }
        }
    }

    fn fields(
        &self,
        words: &Map<String, Value>,
        fields: &Map<String, Value>,
        at: &str,
        found: &mut Vec<String>,
    ) {
        let (known, others) = (words.get("properties"), words.get("additionalProperties"));
        if known.is_none() && others.is_none() {
            return;
        }
        for (name, field) in fields {
            let at = format!("{at}.{name}");
            match (known.and_then(|known| known.get(name)), others) {
                (Some(schema), _) => self.value(schema, field, &at, found),
                (None, None | Some(Value::Bool(false))) => {
                    found.push(format!("{at}: the schema does not name it"));
                }
                (None, Some(schema)) => self.value(schema, field, &at, found),
            }
        }
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn is_of(kinds: &Value, value: &Value) -> bool {
    let is = |kind: &str| match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    };
    match kinds {
        Value::String(kind) => is(kind),
        kinds => list(kinds).iter().filter_map(Value::as_str).any(is),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_differs_from_the_schema_is_found() {
        let document = json!({ "$defs": { "Name": { "type": "string" } } });
        let schema = json!({
            "type": "object",
            "properties": {
                "name": { "$ref": "#/$defs/Name" },
                "rules": { "type": "array", "items": { "type": "integer", "minimum": 0 } },
                "mode": { "enum": ["normal", "panic"] },
                "seen": { "anyOf": [{ "type": "null" }, { "$ref": "#/$defs/Name" }] },
            },
            "required": ["name"],
        });
        let faults = |value| faults(&document, &schema, &value).len();
        assert_eq!(
            faults(json!({ "name": "web", "rules": [1, 2], "mode": "panic", "seen": null })),
            0
        );
        for wrong in [
            json!({}),
            json!({ "name": 7 }),
            json!({ "name": "web", "rules": [1, "2"] }),
            json!({ "name": "web", "rules": [-1] }),
            json!({ "name": "web", "mode": "odd" }),
            json!({ "name": "web", "seen": 1 }),
            json!({ "name": "web", "more": 1 }),
            json!([]),
        ] {
            assert_eq!(faults(wrong.clone()), 1, "{wrong}");
        }
    }

    #[test]
    fn what_is_not_known_of_schemas_is_said() {
        let nothing = json!({});
        assert_eq!(faults(&nothing, &json!({ "contains": 1 }), &json!([])).len(), 1);
        assert_eq!(
            faults(&nothing, &json!({ "$ref": "#/$defs/Name" }), &json!([])).len(),
            1
        );
    }
}
