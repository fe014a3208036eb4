//! The filter table of `iptables-save`.

use super::{
    ChainPolicy, ImportError, Ruleset,
    conditions::{Addresses, Chain, Conditions, Family, Item, Understood, Verdict, by_loopback, by_state},
};

/// What makes a rule impossible to carry over.
type Obstacle = String;

pub(super) fn read(text: &str) -> Result<Ruleset, ImportError> {
    if !text.lines().any(|line| line.trim() == "*filter") {
        return Err(ImportError::NotThat {
            command: "iptables-save",
            why: "it has no table *filter".to_owned(),
        });
    }
    let family = family(text);
    let own = own_chains(text);
    let mut ruleset = Ruleset::default();
    let mut in_filter = false;
    for (line, number) in text.lines().map(str::trim).zip(1..) {
        match line.chars().next() {
            None | Some('#') => {}
            Some('*') => in_filter = line == "*filter",
            Some(':') if in_filter => policy(line, family, &mut ruleset),
            _ if line == "COMMIT" => in_filter = false,
            _ if in_filter => ruleset.items.push(item(line, number, family, &own)),
            Some('-') => ruleset.items.push(Item {
                place: format!("line {number}"),
                name: format!("line-{number}"),
                source: line.to_owned(),
                what: Understood::Not("it is in another table than filter".to_owned()),
            }),
            _ => {}
        }
    }
    Ok(ruleset)
}

/// `ip6tables-save` says what it is; otherwise an address or ICMPv6 does.
fn family(text: &str) -> Family {
    let rules = || text.lines().filter(|line| line.starts_with("-A"));
    let is_v6 = text.contains("ip6tables-save")
        || rules().any(|line| line.contains("icmpv6") || line.contains("ipv6-icmp") || line.contains("::"));
    if is_v6 { Family::V6 } else { Family::V4 }
}

/// `:INPUT DROP [0:0]`
fn policy(line: &str, family: Family, ruleset: &mut Ruleset) {
    let mut words = line[1..].split_whitespace();
    let at = match words.next() {
        Some("INPUT") => 0,
        Some("OUTPUT") => 1,
        _ => return,
    };
    ruleset.defaults[at] = Some(ChainPolicy {
        accepts: words.next() == Some("ACCEPT"),
        family,
        source: line.to_owned(),
    });
}

/// The chains that are none of the kernel's, which have no policy: `:f2b-sshd - [0:0]`
fn own_chains(text: &str) -> Vec<&str> {
    let chains = text.lines().filter_map(|line| line.trim().strip_prefix(':'));
    chains
        .filter_map(|chain| match chain.split_whitespace().collect::<Vec<_>>()[..] {
            [name, "-", ..] => Some(name),
            _ => None,
        })
        .collect()
}

fn item(line: &str, number: usize, family: Family, own: &[&str]) -> Item {
    Item {
        place: format!("line {number}"),
        name: format!("line-{number}"),
        source: line.to_owned(),
        what: understand(line, family, own).unwrap_or_else(Understood::Not),
    }
}

fn understand(line: &str, family: Family, own: &[&str]) -> Result<Understood, Obstacle> {
    let words = words(line)?;
    let mut words = Words { words: &words, at: 0 };
    // Counters of `iptables-save -c`.
    if words.peek().is_some_and(|word| word.starts_with('[')) {
        words.at += 1;
    }
    let (Some("-A" | "--append"), Some(chain)) = (words.next(), words.next()) else {
        return Err("it is no appended rule".to_owned());
    };
    let chain = match chain {
        "INPUT" => Chain::Input,
        "OUTPUT" => Chain::Output,
        "FORWARD" => {
            return Err(
                "what is forwarded has to be declared first: see [forwarded] in rules/README.md".to_owned(),
            );
        }
        other => {
            return Err(format!(
                "it is in the chain {other}, which is reached by jumps only, and jumps are not carried over"
            ));
        }
    };
    let (conditions, target) = conditions(&mut words, chain, family)?;
    let verdict = match target.as_deref() {
        Some("ACCEPT") => Verdict::Accept,
        Some("DROP") => Verdict::Drop,
        Some("REJECT") => Verdict::Reject,
        Some(chain) if own.contains(&chain) => {
            return Err(format!(
                "it jumps to the chain {chain}, and jumps are not carried over"
            ));
        }
        Some(other) => return Err(format!("target {other} has no counterpart")),
        None => return Err("it has no target: it counts only".to_owned()),
    };
    let implied =
        by_state(verdict, &conditions.states).or_else(|| by_loopback(verdict, &conditions.interfaces));
    Ok(implied.unwrap_or_else(|| Understood::Rule {
        chain,
        verdict,
        conditions: Box::new(conditions),
    }))
}

fn conditions(
    words: &mut Words<'_>,
    chain: Chain,
    family: Family,
) -> Result<(Conditions, Option<String>), Obstacle> {
    let mut conditions = Conditions {
        family,
        ..Conditions::default()
    };
    let mut target = None;
    let mut is_negated = false;
    while let Some(word) = words.next() {
        if word == "!" {
            is_negated = true;
            continue;
        }
        if std::mem::take(&mut is_negated) && !matches!(word, "-s" | "--source" | "-d" | "--destination") {
            return Err(format!("the negation of {word} has no counterpart"));
        }
        // The word before was a negation that is still to be used.
        let negated = words.at >= 2 && words.words[words.at - 2] == "!";
        match word {
            "-s" | "--source" => conditions.source = Some(addresses(words.value(word)?, negated)),
            "-d" | "--destination" => conditions.destination = Some(addresses(words.value(word)?, negated)),
            "-p" | "--protocol" => conditions.protocols = protocol(words.value(word)?, family)?,
            "-i" | "--in-interface" if chain == Chain::Input => {
                conditions.interfaces = vec![interface(words.value(word)?)];
            }
            "-o" | "--out-interface" if chain == Chain::Output => {
                conditions.interfaces = vec![interface(words.value(word)?)];
            }
            "--dport" | "--dports" | "--destination-port" | "--destination-ports" => {
                conditions.destination_ports = ports(words.value(word)?)?;
            }
            "--sport" | "--sports" | "--source-port" | "--source-ports" => {
                conditions.source_ports = ports(words.value(word)?)?;
            }
            "--icmp-type" | "--icmpv6-type" => conditions.icmp = icmp(words.value(word)?)?,
            "--ctstate" | "--state" => {
                let states = words.value(word)?.split(',');
                conditions.states = states.map(str::to_lowercase).collect();
            }
            "--comment" => conditions.comment = Some(words.value(word)?.to_owned()),
            "--syn" => {}
            "--tcp-flags" => {
                let flags = (words.value(word)?, words.value(word)?);
                if flags != ("FIN,SYN,RST,ACK", "SYN") {
                    return Err("it looks at TCP flags; rules are asked about connections".to_owned());
                }
            }
            "--reject-with" => {
                let with = words.value(word)?;
                conditions.notes.push(format!(
                    "it is refused with {with}; here TCP is answered by a reset, everything else by an ICMP error"
                ));
            }
            "-m" | "--match" => match words.value(word)? {
                "tcp" | "udp" | "udplite" | "sctp" | "icmp" | "icmp6" | "icmpv6" | "multiport"
                | "conntrack" | "state" | "comment" => {}
                other => return Err(format!("match {other} has no counterpart")),
            },
            "-j" | "--jump" => target = Some(words.value(word)?.to_owned()),
            "-g" | "--goto" => return Err("jumps between chains have no counterpart".to_owned()),
            other => return Err(format!("{other} has no counterpart")),
        }
    }
    Ok((conditions, target))
}

struct Words<'a> {
    words: &'a [String],
    at: usize,
}

impl<'a> Words<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.words.get(self.at).map(String::as_str)
    }

    fn next(&mut self) -> Option<&'a str> {
        let word = self.peek();
        self.at += usize::from(word.is_some());
        word
    }

    fn value(&mut self, of: &str) -> Result<&'a str, Obstacle> {
        self.next().ok_or_else(|| format!("{of} has no value"))
    }
}

/// Words, of which those in double quotes may have blanks.
fn words(line: &str) -> Result<Vec<String>, Obstacle> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut in_quotes = false;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => {
                in_quotes = !in_quotes;
                word.get_or_insert_default();
            }
            '\\' if in_quotes => word.get_or_insert_default().extend(characters.next()),
            blank if blank.is_whitespace() && !in_quotes => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    if in_quotes {
        return Err("a quotation mark is not closed".to_owned());
    }
    words.extend(word);
    Ok(words)
}

fn addresses(text: &str, is_negated: bool) -> Addresses {
    let members = text.split(',').map(|one| one.trim_end_matches("/32").to_owned());
    Addresses {
        is_negated,
        members: members.collect(),
    }
}

fn protocol(text: &str, family: Family) -> Result<Vec<String>, Obstacle> {
    Ok(match (text, family) {
        ("all" | "0", _) => Vec::new(),
        ("tcp" | "udp" | "udplite" | "sctp" | "icmp", _) => vec![text.to_owned()],
        ("icmpv6" | "ipv6-icmp" | "icmp6", _) => vec!["icmpv6".to_owned()],
        ("gre", _) => vec!["protocol/47".to_owned()],
        ("esp", _) => vec!["protocol/50".to_owned()],
        ("ah", _) => vec!["protocol/51".to_owned()],
        ("vrrp", _) => vec!["protocol/112".to_owned()],
        ("igmp", _) => vec!["protocol/2".to_owned()],
        ("ospf" | "ospfigp", _) => vec!["protocol/89".to_owned()],
        (number, _) => {
            let number: u8 = number
                .parse()
                .map_err(|_| format!("protocol {number} is not known here"))?;
            vec![format!("protocol/{number}")]
        }
    })
}

fn interface(text: &str) -> String {
    text.strip_suffix('+')
        .map_or_else(|| text.to_owned(), |start| format!("{start}*"))
}

/// `22`, `80,443`, `1000:2000`.
fn ports(text: &str) -> Result<Vec<String>, Obstacle> {
    let one = |part: &str| -> Result<String, Obstacle> {
        let number = |text: &str, otherwise: u16| {
            if text.is_empty() {
                return Ok(otherwise);
            }
            text.parse::<u16>()
                .map_err(|_| format!("port {part} is no number"))
        };
        match part.split_once(':') {
            Some((first, last)) => Ok(format!("{}-{}", number(first, 0)?, number(last, u16::MAX)?)),
            None => Ok(number(part, 0)?.to_string()),
        }
    };
    text.split(',').map(one).collect()
}

/// Numbers, as `iptables-save` prints them.
fn icmp(text: &str) -> Result<Vec<String>, Obstacle> {
    if text == "any" || text == "255" {
        return Ok(Vec::new());
    }
    let is_number = |part: &str| part.parse::<u8>().is_ok();
    if text.splitn(2, '/').all(is_number) {
        Ok(vec![text.to_owned()])
    } else {
        Err(format!("ICMP type {text} is not known here"))
    }
}
