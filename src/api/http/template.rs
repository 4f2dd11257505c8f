//! Templates of paths, as `google.api.http` writes them: `/v1/namespaces/{namespace}/configs/{config}/layers/{scope=**}:verb`. Knows text; no
//! request and no field.

/// A template of paths. Segments are separated by `/`, and the last may end with a verb after `:`.
#[derive(Debug, PartialEq, Eq)]
pub struct Template {
    text: String,
    segments: Vec<Segment>,
    verb: Option<String>,
}

/// One segment of a template.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    Literal(String),
    /// `{field}`: one segment is the value of the field.
    One(String),
    /// `{field=**}`: all further segments are, with a `/` before each.
    Rest(String),
}

/// The values that a path has for the fields of a template: still percent-encoded.
pub type Captures = Vec<(String, String)>;

impl Template {
    /// An error says what is not understood.
    pub fn parse(text: &str) -> Result<Template, String> {
        let path = text.strip_prefix('/').ok_or_else(|| format!("{text} does not begin with /"))?;
        let after_variables = path.rfind('}').map_or(0, |end| end + 1);
        let (path, verb) = match path[after_variables..].rsplit_once(':') {
            Some((before, verb)) => (&path[..after_variables + before.len()], Some(verb.to_owned())),
            None => (path, None),
        };
        let segments: Vec<Segment> =
            path.split('/').map(segment).collect::<Result<_, _>>().map_err(|why| format!("{text}: {why}"))?;
        let is_rest = |segment: &Segment| matches!(segment, Segment::Rest(_));
        match segments.iter().position(is_rest) {
            Some(at) if at + 1 < segments.len() => Err(format!("{text}: something follows `**`")),
            _ => Ok(Template { text: text.to_owned(), segments, verb }),
        }
    }

    /// As the annotation writes it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The values that a path has, if the path is of this form. Nothing is allocated for a path that is not.
    pub fn captures(&self, path: &str) -> Option<Captures> {
        self.walk(path, &mut |_, _| {}).then(|| {
            let mut captures = vec![];
            self.walk(path, &mut |field, value| captures.push((field.to_owned(), value.to_owned())));
            captures
        })
    }

    /// Whether a path is of this form. `take` is given the values of fields, also before that is known.
    fn walk(&self, path: &str, take: &mut dyn FnMut(&str, &str)) -> bool {
        let Some(within) = path.strip_prefix('/') else { return false };
        let within = match &self.verb {
            Some(verb) => within.strip_suffix(verb.as_str()).and_then(|before| before.strip_suffix(':')),
            None => Some(within),
        };
        let Some(within) = within else { return false };
        // Where the rest begins, with the `/` before it.
        let mut at = Some(0);
        for segment in &self.segments {
            let Some(begin) = at else { return false };
            let left = &within[begin..];
            let first = left.split_once('/').map_or(left, |(first, _)| first);
            let after = (first.len() < left.len()).then_some(begin + first.len() + 1);
            match segment {
                Segment::Literal(literal) if literal == first => at = after,
                Segment::Literal(_) => return false,
                Segment::One(_) if first.is_empty() => return false,
                Segment::One(field) => {
                    take(field, first);
                    at = after;
                }
                Segment::Rest(field) => {
                    take(field, &path[begin..=within.len()]);
                    at = None;
                }
            }
        }
        at.is_none()
    }

    /// The fields of the path, in order.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Literal(_) => None,
            Segment::One(field) | Segment::Rest(field) => Some(field.as_str()),
        })
    }

    /// Less for templates that are looked at first: literal segments before fields, and verbs before none.
    pub fn order(&self) -> impl Ord + use<> {
        let kinds: Vec<u8> = self
            .segments
            .iter()
            .map(|segment| match segment {
                Segment::Literal(_) => 0,
                Segment::One(_) => 1,
                Segment::Rest(_) => 2,
            })
            .collect();
        (kinds, self.verb.is_none())
    }
}

fn segment(text: &str) -> Result<Segment, String> {
    let Some(inside) = text.strip_prefix('{') else {
        let is_plain = !text.is_empty() && !text.contains(['{', '}', '*', ':']);
        return if is_plain {
            Ok(Segment::Literal(text.to_owned()))
        } else {
            Err(format!("segment {text:?}"))
        };
    };
    let inside = inside.strip_suffix('}').ok_or_else(|| format!("segment {text:?} has no end"))?;
    match inside.split_once('=') {
        None | Some((_, "*")) => Ok(Segment::One(inside.trim_end_matches("=*").to_owned())),
        Some((field, "**")) => Ok(Segment::Rest(field.to_owned())),
        Some(_) => Err(format!("segment {text:?}: only * and ** are understood")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(template: &str, path: &str, expected: Option<&[(&str, &str)]>) {
        let captures = Template::parse(template).expect("a template").captures(path);
        let expected = expected.map(|pairs| {
            pairs.iter().map(|(field, value)| ((*field).to_owned(), (*value).to_owned())).collect()
        });
        assert_eq!(captures, expected, "{template} {path}");
    }

    #[test]
    fn a_path_has_the_values_of_its_fields() {
        check("/v1/status", "/v1/status", Some(&[]));
        check("/v1/status", "/v1/status/", None);
        check("/v1/configs/{config}", "/v1/configs/rules:checkout", Some(&[("config", "rules:checkout")]));
        check("/v1/configs/{config}", "/v1/configs/", None);
        check("/v1/configs/{config}:roll", "/v1/configs/rules:app:roll", Some(&[("config", "rules:app")]));
        check("/v1/configs/{a.config}:roll", "/v1/configs/app", None);
        check("/v1/x:roll", "/v1/x:roll", Some(&[]));
        check("/v1/{a}/l/{s=**}", "/v1/x/l/prod/eu", Some(&[("a", "x"), ("s", "/prod/eu")]));
        check("/v1/{a}/l/{s=**}", "/v1/x/l/", Some(&[("a", "x"), ("s", "/")]));
        check("/v1/{a}/l/{s=**}", "/v1/x/l", None);
        check("/v1/{a}/l/{s=**}:end", "/v1/x/l/p:end", Some(&[("a", "x"), ("s", "/p")]));
        check("/v1/{a=*}/b", "/v1/x/b", Some(&[("a", "x")]));
    }

    #[test]
    fn what_is_not_understood_is_no_template() {
        for text in ["v1", "/v1/{a", "/v1/{a=x/*}", "/v1/{a=**}/b", "/v1//b", "/v1/*"] {
            Template::parse(text).expect_err(text);
        }
    }
}
