use poem::http::StatusCode;

/// What class of failure a client met; its code is stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Code {
    BadRequest,
    InvalidHost,
    InvalidParameter,
    InvalidCursor,
    InvalidBody,
    InvalidCredentials,
    SessionExpired,
    Unauthenticated,
    Forbidden,
    CrossSite,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    Conflict,
    EmailTaken,
    SlugTaken,
    RefreshRaced,
    VersionExists,
    AlreadyEnded,
    PreconditionFailed,
    PreconditionRequired,
    PayloadTooLarge,
    UnsupportedMediaType,
    ValidationFailed,
    DefinitionInvalid,
    InputInvalid,
    AnswerInvalid,
    KeyReused,
    LimitExceeded,
    Throttled,
    TooManyAttempts,
    Internal,
    Overloaded,
    Unavailable,
    Timeout,
}

impl Code {
    /// The whole table: status, code and title.
    pub(super) fn row(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::BadRequest => (400, "bad_request", "Bad request"),
            Self::InvalidHost => (400, "host_invalid", "Invalid host"),
            Self::InvalidParameter => (400, "parameter_invalid", "Invalid parameter"),
            Self::InvalidCursor => (400, "cursor_invalid", "Invalid cursor"),
            Self::InvalidBody => (400, "body_invalid", "Invalid body"),
            Self::InvalidCredentials => (401, "invalid_credentials", "Wrong credentials"),
            Self::SessionExpired => (401, "session_expired", "Session expired"),
            Self::Unauthenticated => (401, "unauthenticated", "Not signed in"),
            Self::Forbidden => (403, "forbidden", "Not allowed"),
            Self::CrossSite => (403, "cross_site", "Cross-site request"),
            Self::NotFound => (404, "not_found", "Not found"),
            Self::MethodNotAllowed => (405, "method_not_allowed", "Method not allowed"),
            Self::RequestTimeout => (408, "request_timeout", "Request too slow"),
            Self::Conflict => (409, "conflict", "Conflict"),
            Self::EmailTaken => (409, "email_taken", "Email address taken"),
            Self::SlugTaken => (409, "slug_taken", "Short name taken"),
            Self::RefreshRaced => (409, "refresh_raced", "Session refreshed elsewhere"),
            Self::VersionExists => (409, "version_exists", "Version exists"),
            Self::AlreadyEnded => (409, "already_ended", "Already ended"),
            Self::PreconditionFailed => (412, "precondition_failed", "Changed meanwhile"),
            Self::PreconditionRequired => (428, "precondition_required", "If-Match is missing"),
            Self::PayloadTooLarge => (413, "payload_too_large", "Body too large"),
            Self::UnsupportedMediaType => (415, "unsupported_media_type", "Unsupported media type"),
            Self::ValidationFailed => (422, "validation_failed", "Invalid input"),
            Self::DefinitionInvalid => (422, "definition_invalid", "Unprocessable definition"),
            Self::InputInvalid => (422, "input_invalid", "Input does not fit the workflow"),
            Self::AnswerInvalid => (422, "answer_invalid", "Answer does not fit the task"),
            Self::KeyReused => (422, "idempotency_key_reused", "Idempotency key used before"),
            Self::LimitExceeded => (422, "limit_exceeded", "Limit exceeded"),
            Self::Throttled => (429, "throttled", "Too many at a time"),
            Self::TooManyAttempts => (429, "too_many_attempts", "Too many attempts"),
            Self::Internal => (500, "internal", "Internal error"),
            Self::Overloaded => (503, "overloaded", "Overloaded"),
            Self::Unavailable => (503, "unavailable", "Unavailable"),
            Self::Timeout => (504, "timeout", "Took too long"),
        }
    }

    /// Gives the word that programs branch on.
    pub(crate) fn as_str(self) -> &'static str {
        self.row().1
    }

    pub(crate) fn status(self) -> StatusCode {
        StatusCode::from_u16(self.row().0).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The kinds of the engine's errors.
    pub(super) fn of_core(error: &auterity_core::Error) -> Self {
        use auterity_core::ErrorKind as Kind;
        match error.kind() {
            Kind::NotFound => Self::NotFound,
            Kind::Conflict => Self::Conflict,
            Kind::Forbidden => Self::Forbidden,
            Kind::Invalid if error.violations().is_empty() => Self::ValidationFailed,
            Kind::Invalid => Self::InputInvalid,
            Kind::Limit => Self::LimitExceeded,
            Kind::Throttled => Self::Throttled,
            Kind::Overloaded => Self::Overloaded,
            Kind::Fenced | Kind::Unavailable | Kind::Stopping => Self::Unavailable,
            _ => Self::Internal,
        }
    }

    /// The kinds of identity's errors.
    pub(super) fn of_tenancy(error: &auterity_tenancy::Error) -> Self {
        use auterity_tenancy::ErrorKind as Kind;
        match error.kind() {
            Kind::NotFound => Self::NotFound,
            Kind::Conflict { field: "email" } => Self::EmailTaken,
            Kind::Conflict { field: "slug" } => Self::SlugTaken,
            Kind::Conflict {
                field: "refresh_token",
            } => Self::RefreshRaced,
            Kind::Conflict { .. } => Self::Conflict,
            Kind::Invalid => Self::ValidationFailed,
            Kind::Unauthenticated => Self::Unauthenticated,
            Kind::Forbidden => Self::Forbidden,
            Kind::Throttled { .. } => Self::TooManyAttempts,
            Kind::Overloaded => Self::Overloaded,
            Kind::Unavailable => Self::Unavailable,
            _ => Self::Internal,
        }
    }

    /// What stands for errors of the framework that carry a status only.
    pub(super) fn of_status(status: StatusCode) -> Self {
        match status.as_u16() {
            401 => Self::Unauthenticated,
            403 => Self::Forbidden,
            404 => Self::NotFound,
            405 => Self::MethodNotAllowed,
            408 => Self::RequestTimeout,
            413 => Self::PayloadTooLarge,
            415 => Self::UnsupportedMediaType,
            422 => Self::ValidationFailed,
            429 => Self::TooManyAttempts,
            503 => Self::Unavailable,
            504 => Self::Timeout,
            400..=499 => Self::BadRequest,
            _ => Self::Internal,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Code;

    const ALL: [Code; 35] = [
        Code::BadRequest,
        Code::InvalidHost,
        Code::InvalidParameter,
        Code::InvalidCursor,
        Code::InvalidBody,
        Code::InvalidCredentials,
        Code::SessionExpired,
        Code::Unauthenticated,
        Code::Forbidden,
        Code::CrossSite,
        Code::NotFound,
        Code::MethodNotAllowed,
        Code::RequestTimeout,
        Code::Conflict,
        Code::EmailTaken,
        Code::SlugTaken,
        Code::RefreshRaced,
        Code::VersionExists,
        Code::AlreadyEnded,
        Code::PreconditionFailed,
        Code::PreconditionRequired,
        Code::PayloadTooLarge,
        Code::UnsupportedMediaType,
        Code::ValidationFailed,
        Code::DefinitionInvalid,
        Code::InputInvalid,
        Code::AnswerInvalid,
        Code::KeyReused,
        Code::LimitExceeded,
        Code::Throttled,
        Code::TooManyAttempts,
        Code::Internal,
        Code::Overloaded,
        Code::Unavailable,
        Code::Timeout,
    ];

    #[test]
    fn every_code_is_a_word_of_its_own() {
        let words: BTreeSet<_> = ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(words.len(), ALL.len());
        for code in ALL {
            assert!((400..600).contains(&code.status().as_u16()));
        }
    }
}
