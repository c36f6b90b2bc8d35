//! From text to tree: a Pratt parser over the tokens.

use alloc::string::String;
use alloc::vec::Vec;

use super::glob::Glob;
use super::lexer::{Lexer, Order, Token};
use super::range::VersionRange;
use super::selector::{Attribute, Check, Kind, Node, is_connective, number};
use crate::error::{Code, Error};
use crate::limits;
use crate::model::Health;
use crate::order;

/// Reads the nodes in post-order; none for an empty text.
pub(super) fn parse(text: &str) -> Result<Vec<Node>, Error> {
    let mut parser = Parser { lexer: Lexer::new(text), token: Token::End, at: 0, nodes: Vec::new() };
    parser.advance()?;
    if parser.token != Token::End {
        parser.expression(Power::Comma, 0)?;
    }
    match parser.token {
        Token::End => Ok(parser.nodes),
        Token::Close => Err(parser.wrong("a parenthesis that was never opened")),
        _ => Err(parser.wrong("expected ',', 'and', 'or' or the end")),
    }
}

/// How strongly an infix operator binds, weakest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Power {
    Comma,
    Or,
    And,
    /// Above every infix operator.
    Operand,
}

impl Power {
    const fn tighter(self) -> Self {
        match self {
            Self::Comma => Self::Or,
            Self::Or => Self::And,
            Self::And | Self::Operand => Self::Operand,
        }
    }
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    /// The token to be read next, and where it starts.
    token: Token<'a>,
    at: usize,
    nodes: Vec<Node>,
}

impl<'a> Parser<'a> {
    /// Steps to the next token and returns the one read.
    fn advance(&mut self) -> Result<Token<'a>, Error> {
        let (token, at) = self.lexer.next()?;
        self.at = at;
        Ok(core::mem::replace(&mut self.token, token))
    }

    fn wrong(&self, what: &str) -> Error {
        self.lexer.error(self.at, what)
    }

    fn expect(&mut self, token: Token<'static>, what: &str) -> Result<(), Error> {
        if self.token != token {
            return Err(self.wrong(what));
        }
        self.advance().map(|_| ())
    }

    fn push(&mut self, start: usize, kind: Kind) -> Result<(), Error> {
        if self.nodes.len() >= limits::SELECTOR_NODES {
            return Err(Error::too_large("selector nodes", limits::SELECTOR_NODES as u64));
        }
        // Below the limit on nodes, which a u16 holds.
        self.nodes.push(Node { start: start as u16, kind });
        Ok(())
    }

    fn infix(&self) -> Option<Power> {
        match self.token {
            Token::Comma => Some(Power::Comma),
            Token::Word("or") => Some(Power::Or),
            Token::Word("and") => Some(Power::And),
            _ => None,
        }
    }

    /// Operands joined by operators that bind at least as strongly as `floor`. Recursion is bounded: three
    /// strengths at each of the 32 levels of nesting.
    fn expression(&mut self, floor: Power, depth: usize) -> Result<(), Error> {
        let start = self.nodes.len();
        self.operand(depth)?;
        while let Some(power) = self.infix().filter(|power| *power >= floor) {
            let kind = if power == Power::Or { Kind::Any } else { Kind::All };
            self.dissolve(&kind);
            while self.infix() == Some(power) {
                self.advance()?;
                self.expression(power.tighter(), depth)?;
                self.dissolve(&kind);
            }
            self.push(start, kind)?;
        }
        Ok(())
    }

    /// Takes the root off an operand of the same kind as its parent, so that `a and (b and c)` is one node of three.
    fn dissolve(&mut self, kind: &Kind) {
        if self.nodes.last().is_some_and(|node| node.kind == *kind) {
            self.nodes.pop();
        }
    }

    fn deeper(depth: usize) -> Result<usize, Error> {
        if depth >= limits::SELECTOR_DEPTH {
            return Err(Error::too_large("selector depth", limits::SELECTOR_DEPTH as u64));
        }
        Ok(depth.saturating_add(1))
    }

    fn operand(&mut self, depth: usize) -> Result<(), Error> {
        let start = self.nodes.len();
        match self.token {
            Token::Open => {
                let depth = Self::deeper(depth)?;
                self.advance()?;
                self.expression(Power::Comma, depth)?;
                self.expect(Token::Close, "expected ')'")
            }
            Token::Word("not") => {
                let depth = Self::deeper(depth)?;
                self.advance()?;
                self.operand(depth)?;
                self.negate(start)
            }
            Token::Bang => {
                self.advance()?;
                if self.token == Token::Open {
                    let depth = Self::deeper(depth)?;
                    self.operand(depth)?;
                } else {
                    // As in Kubernetes: `!key` is a whole requirement, `!key=value` is none.
                    let attribute = self.attribute()?;
                    let check = self.exists(attribute)?;
                    self.push(start, Kind::Check(check))?;
                }
                self.negate(start)
            }
            _ => {
                let attribute = self.attribute()?;
                self.requirement(attribute, start)
            }
        }
    }

    fn negate(&mut self, start: usize) -> Result<(), Error> {
        if self.nodes.last().is_some_and(|node| node.kind == Kind::Not) {
            self.nodes.pop();
            return Ok(());
        }
        self.push(start, Kind::Not)
    }

    fn attribute(&mut self) -> Result<Attribute, Error> {
        let word = match self.token {
            Token::Word(word) if is_connective(word) => return Err(self.wrong("expected an attribute; a key of this name is meta.NAME")),
            Token::Word(word) => word,
            _ => return Err(self.wrong("expected an attribute, 'not' or '('")),
        };
        let attribute = Attribute::from_word(word).ok_or_else(|| self.wrong("a key is letters, digits, '_', '.', '-' and '/'"))?;
        if let Attribute::Metadata(key) = &attribute
            && key.len() > limits::METADATA_KEY_BYTES
        {
            return Err(Error::too_large("selector key", limits::METADATA_KEY_BYTES as u64));
        }
        self.advance()?;
        Ok(attribute)
    }

    /// What follows an attribute, if anything.
    fn requirement(&mut self, attribute: Attribute, start: usize) -> Result<(), Error> {
        let at = self.at;
        let mut negated = false;
        let check = match self.token {
            Token::Equal | Token::NotEqual => {
                negated = self.advance()? == Token::NotEqual;
                let value = self.value()?;
                self.one_of(attribute, alloc::vec![value], at, false)?
            }
            Token::Compare(order) => {
                self.advance()?;
                self.compare(attribute, order, at)?
            }
            Token::Word("and" | "or") => self.exists(attribute)?,
            Token::Word("in" | "notin" | "contains" | "matches" | "not") => {
                negated = self.token == Token::Word("not");
                if negated {
                    self.advance()?;
                }
                match self.advance()? {
                    Token::Word("in") => self.list(attribute, at)?,
                    Token::Word("notin") if !negated => {
                        negated = true;
                        self.list(attribute, at)?
                    }
                    Token::Word("contains") => {
                        let value = self.operand_value()?;
                        self.one_of(attribute, alloc::vec![value], at, true)?
                    }
                    Token::Word("matches") => self.matches(attribute, at)?,
                    _ => return Err(self.lexer.error(at, "expected 'in', 'contains' or 'matches' after 'not'")),
                }
            }
            Token::Word(_) | Token::Quoted(_) if attribute == Attribute::Version => {
                let value = self.value()?;
                Check::Version(alloc::vec![self.range(&value, at)?])
            }
            Token::Comma | Token::Close | Token::End => self.exists(attribute)?,
            _ => return Err(self.wrong("expected an operator")),
        };
        self.push(start, Kind::Check(check))?;
        if negated { self.negate(start) } else { Ok(()) }
    }

    fn exists(&self, attribute: Attribute) -> Result<Check, Error> {
        if attribute == Attribute::Tags {
            return Err(self.wrong("tags take contains, in or notin"));
        }
        Ok(Check::Exists(attribute))
    }

    /// A value: a word, a quoted string, or nothing, which is the empty string as in Kubernetes.
    fn value(&mut self) -> Result<String, Error> {
        match self.token {
            Token::Word(word) => {
                self.advance()?;
                Ok(word.into())
            }
            Token::Quoted(_) => match self.advance()? {
                Token::Quoted(text) => Ok(text),
                _ => Ok(String::new()),
            },
            Token::Comma | Token::Close | Token::End => Ok(String::new()),
            _ => Err(self.wrong("expected a value")),
        }
    }

    /// A value where nothing is an oversight.
    fn operand_value(&mut self) -> Result<String, Error> {
        match self.token {
            Token::Word(_) | Token::Quoted(_) => self.value(),
            _ => Err(self.wrong("expected a value")),
        }
    }

    fn list(&mut self, attribute: Attribute, at: usize) -> Result<Check, Error> {
        self.expect(Token::Open, "expected '('")?;
        let mut values = alloc::vec![self.value()?];
        while self.token == Token::Comma {
            self.advance()?;
            values.push(self.value()?);
        }
        self.expect(Token::Close, "expected ',' or ')'")?;
        let tags = attribute == Attribute::Tags;
        self.one_of(attribute, values, at, tags)
    }

    /// `=`, `in` and `contains`; `member` is whether the operator is one that tags take.
    fn one_of(&self, attribute: Attribute, mut values: Vec<String>, at: usize, member: bool) -> Result<Check, Error> {
        let wrong = |what| Err(self.lexer.error(at, what));
        match attribute {
            Attribute::Tags if !member => return wrong("tags take contains, in or notin"),
            Attribute::Tags => {}
            _ if member => return wrong("contains is for tags; write matches *TEXT*"),
            Attribute::Version => {
                let mut ranges = Vec::new();
                for value in values {
                    ranges.push(self.comparator("=", &value, at)?);
                }
                return Ok(Check::Version(ranges));
            }
            Attribute::Weight => {
                for value in &mut values {
                    let Some(number) = number(value) else { return wrong("a weight is a number") };
                    *value = number;
                }
            }
            Attribute::Health if values.iter().any(|value| Health::parse(value).is_err()) => {
                return wrong("health is unknown, starting, healthy, degraded or unhealthy");
            }
            _ => {}
        }
        order::sort_few(&mut values, &mut Ord::cmp);
        values.dedup();
        Ok(Check::OneOf(attribute, values))
    }

    fn compare(&mut self, attribute: Attribute, order: Order, at: usize) -> Result<Check, Error> {
        let value = self.operand_value()?;
        match attribute {
            Attribute::Tags => Err(self.lexer.error(at, "tags take contains, in or notin")),
            Attribute::Version => Ok(Check::Version(alloc::vec![self.comparator(order.as_str(), &value, at)?])),
            _ => match number(&value) {
                Some(number) => Ok(Check::Compare(attribute, order, number)),
                None => Err(self.lexer.error(at, "a comparison takes a number such as 8 or -0.5")),
            },
        }
    }

    fn matches(&mut self, attribute: Attribute, at: usize) -> Result<Check, Error> {
        let pattern = self.operand_value()?;
        match attribute {
            Attribute::Tags => Err(self.lexer.error(at, "tags take contains, in or notin")),
            Attribute::Version => Err(self.lexer.error(at, "a version takes a range, such as version ^1.4")),
            Attribute::Weight => Err(self.lexer.error(at, "a weight takes a comparison")),
            _ => Ok(Check::Matches(attribute, Glob::new(&pattern)?)),
        }
    }

    /// One comparator of a range whose operator stands outside, as in `version >= 1.2`.
    fn comparator(&self, operator: &str, version: &str, at: usize) -> Result<VersionRange, Error> {
        // A digit first, so that `> "=1"` is not read as `>=1`.
        let range = match version.bytes().next() {
            Some(b'0'..=b'9') => self.range(&alloc::format!("{operator}{version}"), at)?,
            _ => return Err(self.lexer.error(at, NO_RANGE)),
        };
        if range.is_single() { Ok(range) } else { Err(self.lexer.error(at, NO_RANGE)) }
    }

    fn range(&self, text: &str, at: usize) -> Result<VersionRange, Error> {
        VersionRange::parse(text).map_err(|error| match error.code() {
            Code::LimitExceeded => error.within("selector"),
            _ => self.lexer.error(at, NO_RANGE),
        })
    }
}

const NO_RANGE: &str = "not a semantic version range; a metadata key named version is meta.version";
