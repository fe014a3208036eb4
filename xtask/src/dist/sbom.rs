//! What the package is made of, in `CycloneDX` 1.5 (<https://cyclonedx.org/docs/1.5/json/>).

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::crates::{Crate, url};

const PRODUCT: &str = "firewall-agent";

/// The list as text; the same for the same crates and time.
pub(super) fn text(crates: &[Crate], epoch: u64) -> Result<String> {
    let product = crates.iter().find(|one| one.name == PRODUCT);
    let product = product.context("the product is one of the crates")?;
    let time = Timestamp::from_second(epoch.try_into()?)?;
    let others = crates.iter().filter(|one| one.name != PRODUCT);
    let list = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": time.to_string(),
            "component": component(product, "application"),
        },
        "components": others.map(|one| component(one, "library")).collect::<Vec<_>>(),
        "dependencies": crates.iter().map(uses).collect::<Vec<_>>(),
    });
    Ok(format!("{list:#}\n"))
}

fn component(one: &Crate, kind: &str) -> Value {
    let mut component = json!({
        "type": kind,
        "bom-ref": one.url(),
        "name": one.name,
        "version": one.version,
        "purl": one.url(),
        "licenses": [{ "expression": one.licence }],
    });
    if let Some(checksum) = &one.checksum {
        component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
    }
    component
}

fn uses(one: &Crate) -> Value {
    let used: Vec<String> = one
        .uses
        .iter()
        .map(|(name, version)| url(name, version))
        .collect();
    json!({ "ref": one.url(), "dependsOn": used })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, checksum: Option<&str>) -> Crate {
        Crate {
            name: name.to_owned(),
            version: "1.2.3".to_owned(),
            licence: "MIT".to_owned(),
            checksum: checksum.map(str::to_owned),
            sources: "/nowhere".into(),
            uses: [("serde".to_owned(), "1.2.3".to_owned())].into(),
        }
    }

    #[test]
    fn the_list_names_what_there_is_and_what_it_uses() {
        let text = text(&[one(PRODUCT, None), one("serde", Some("abc"))], 0).expect("it is one of them");
        let list: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(list["metadata"]["timestamp"], "1970-01-01T00:00:00Z");
        assert_eq!(list["metadata"]["component"]["name"], PRODUCT);
        assert_eq!(list["components"][0]["hashes"][0]["content"], "abc");
        assert_eq!(list["dependencies"][0]["dependsOn"][0], "pkg:cargo/serde@1.2.3");
    }

    #[test]
    fn crates_without_the_product_are_no_package() {
        text(&[one("serde", None)], 0).expect_err("it is not there");
    }
}
