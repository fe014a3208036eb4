//! Places in a policy file, in words: `before ssh`, `after ssh`, `first`, `last`.

use clap::ValueEnum;

use crate::control::protocol::RulePlace;

/// Where a rule stands in its file.
#[derive(Debug, clap::Args)]
pub(crate) struct Place {
    /// Where in the file.
    #[arg(value_enum, value_name = "WHERE")]
    side: Side,
    /// The rule beside which: with `before` and `after`.
    #[arg(
        value_name = "RULE",
        required_if_eq_any([("side", "before"), ("side", "after")])
    )]
    beside: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Side {
    /// Directly before another rule.
    Before,
    /// Directly behind another rule.
    After,
    /// Before the first rule.
    First,
    /// Behind the last rule.
    Last,
}

impl TryFrom<Place> for RulePlace {
    type Error = String;

    fn try_from(place: Place) -> Result<Self, String> {
        match (place.side, place.beside) {
            (Side::Before, Some(rule)) => Ok(Self::Before(rule)),
            (Side::After, Some(rule)) => Ok(Self::After(rule)),
            (Side::First, None) => Ok(Self::First),
            (Side::Last, None) => Ok(Self::End),
            (Side::Before | Side::After, None) => Err("say beside which rule".to_owned()),
            (Side::First | Side::Last, Some(rule)) => Err(format!(
                "`first` and `last` are places in a file, not beside a rule: leave out `{rule}`, or say `before {rule}`"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_beside_the_first_place_is_a_slip() {
        let place = |side, beside: Option<&str>| {
            let beside = beside.map(str::to_owned);
            RulePlace::try_from(Place { side, beside })
        };
        assert_eq!(place(Side::First, None), Ok(RulePlace::First));
        let slip = place(Side::First, Some("ssh")).unwrap_err();
        assert!(slip.contains("`before ssh`"), "{slip}");
    }
}
