//! Integers in paths and queries.

/// Returns the id of a run; `None` for a text that is none.
pub(crate) fn run_id(text: &str) -> Option<u64> {
    text.parse().ok().filter(|id| *id > 0 && i64::try_from(*id).is_ok())
}

/// The fields of a query. Of repeated ones, the first counts.
#[derive(Debug)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn of(query: Option<&str>) -> Self {
        let fields = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        Self(fields.into_owned().collect())
    }

    /// Returns a field that is not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name)?;
        Some(found.1.as_str()).filter(|value| !value.is_empty())
    }

    /// Returns the size of a page: 50 for anything but 1 to 100.
    pub(crate) fn limit(&self) -> usize {
        let limit = self.get("limit").and_then(|text| text.parse().ok());
        limit.filter(|limit| (1..=100).contains(limit)).unwrap_or(50)
    }

    /// Returns the number of runs before a page: 0 for anything but a number.
    pub(crate) fn offset(&self) -> usize {
        self.get("offset").and_then(|text| text.parse().ok()).unwrap_or_default()
    }
}
