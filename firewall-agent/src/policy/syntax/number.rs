//! Ports, VLANs and durations.

use std::ops::RangeInclusive;

use toml::{Spanned, de::DeValue};

use super::{
    super::{model::Ranges, ranges},
    findings::{Findings, Located, Problem},
    table,
};

/// Greatest 802.1Q VLAN identifier; 0 (priority tag) and 4095 are reserved (IEEE 802.1Q 9.6).
pub(crate) const MAX_VLAN: u16 = 4094;

/// `N` or `N-M` within `least..=MAX`.
pub(crate) fn span(
    text: &str,
    what: &str,
    allowed: &RangeInclusive<u16>,
) -> Result<RangeInclusive<u16>, Problem> {
    let number = |part: &str| decimal(part, what, allowed);
    match text.split_once('-') {
        None => number(text).map(|value| value..=value),
        Some((first, last)) => {
            let (first, last) = (number(first)?, number(last)?);
            if first < last {
                return Ok(first..=last);
            }
            Err(
                Problem::new(format!("the range `{text}` does not go upwards")).hint(if first == last {
                    format!("write `{first}`")
                } else {
                    format!("write `{last}-{first}`")
                }),
            )
        }
    }
}

/// A decimal number without sign or leading zero, so that no number has two spellings.
fn decimal(text: &str, what: &str, allowed: &RangeInclusive<u16>) -> Result<u16, Problem> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits
        && (text == "0" || !text.starts_with('0'))
        && let Ok(value) = text.parse()
        && allowed.contains(&value)
    {
        return Ok(value);
    }
    Err(
        Problem::new(format!("`{}` is not {what}", text.escape_debug())).hint(format!(
            "{what} is a number from {} to {}",
            allowed.start(),
            allowed.end()
        )),
    )
}

/// A key that takes a number, a range in quotes, or a list of them.
pub(super) fn spans(
    key: &str,
    what: &str,
    allowed: &RangeInclusive<u16>,
    value: &Spanned<DeValue<'_>>,
    findings: &mut Findings,
) -> Located<Ranges<u16>> {
    let place = findings.place(value.span());
    let found = table::items(key, value, findings)
        .into_iter()
        .filter_map(|item| one_span(what, allowed, item, findings))
        .collect();
    Located::new(ranges::normalised(found), place)
}

fn one_span(
    what: &str,
    allowed: &RangeInclusive<u16>,
    item: &Spanned<DeValue<'_>>,
    findings: &mut Findings,
) -> Option<RangeInclusive<u16>> {
    if let DeValue::String(text) = item.get_ref() {
        let place = findings.place(item.span());
        if text.contains('-') {
            return findings.check(&place, span(text, what, allowed));
        }
        return findings.check(&place, decimal(text, what, allowed).and_then(unquoted));
    }
    let number = table::integer(item, findings)?;
    let value = decimal(&number.value.to_string(), what, allowed);
    findings.check(&number.place, value).map(|value| value..=value)
}

fn unquoted(number: u16) -> Result<RangeInclusive<u16>, Problem> {
    Err(Problem::new("a single number stands without quotes").hint(format!("write {number}")))
}

/// A length of time as `<number><unit>`, in seconds.
pub(super) fn duration(text: &Located<std::sync::Arc<str>>, findings: &mut Findings) -> Option<Located<u32>> {
    let seconds = findings.check(&text.place, seconds(&text.value))?;
    Some(Located::new(seconds, text.place.clone()))
}

fn seconds(text: &str) -> Result<u32, Problem> {
    let bad = || {
        Problem::new(format!("`{}` is not a length of time", text.escape_debug()))
            .hint("write a number and one of the units s, m, h, d, such as \"90s\" or \"24h\"")
    };
    let unit = text.chars().last().ok_or_else(bad)?;
    let factor = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86400,
        _ => return Err(bad()),
    };
    let digits = &text[..text.len() - 1];
    if digits.is_empty() || digits.starts_with('0') || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad());
    }
    let number: u32 = digits.parse().map_err(|_| Problem::new("the time is too long"))?;
    number
        .checked_mul(factor)
        .ok_or_else(|| Problem::new("the time is too long"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_one_unit() {
        assert_eq!(seconds("90s"), Ok(90));
        assert_eq!(seconds("2h"), Ok(7200));
        assert_eq!(seconds("1d"), Ok(86400));
        for text in [
            "",
            "s",
            "90",
            "0s",
            "01s",
            "1h30m",
            "-1s",
            "1.5h",
            "9ä",
            "99999999d",
        ] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn spans_go_upwards_within_bounds() {
        let ports = 0..=u16::MAX;
        assert_eq!(span("80", "a port", &ports), Ok(80..=80));
        assert_eq!(span("0-65535", "a port", &ports), Ok(0..=65535));
        for text in [
            "",
            "-",
            "80-",
            "-80",
            "080",
            "+80",
            "65536",
            "90-80",
            "80-80",
            "80-90-100",
            "x",
            "8 0",
        ] {
            assert!(span(text, "a port", &ports).is_err(), "{text}");
        }
    }
}
