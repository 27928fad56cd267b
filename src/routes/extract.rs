//! Extractors of validated bodies, ids and parameters.

#[cfg(test)]
mod properties;

use crate::{
    error::{Code, Error},
    json,
    model::{ChatId, Epoch, MessageId, SearchText, Seq, Since, UserId},
    service::{ChatCursor, Limit},
    state::AppState,
};
use axum::{
    extract::{
        FromRequest, FromRequestParts, Query, RawPathParams, Request,
        rejection::{BytesRejection, FailedToBufferBody},
    },
    http::{HeaderMap, header, request::Parts},
};
use bytes::Bytes;
use http_body::Body as _;
use serde::de::DeserializeOwned;
use std::str::FromStr;

/// A JSON body, read whole.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<AppState> for Body<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Error> {
        if !is_json(request.headers()) {
            let message = "The body must be JSON, with Content-Type: application/json";
            return Err(Error::new(Code::UnsupportedMediaType, message));
        }
        // A body with a declared length over the limit is refused without being read.
        if request.body().size_hint().lower() > state.limits.body as u64 {
            return Err(Error::too_large("The body", state.limits.body));
        }
        let bytes =
            Bytes::from_request(request, state)
                .await
                .map_err(|rejection| match rejection {
                    BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => {
                        Error::too_large("The body", state.limits.body)
                    }
                    _ => Error::new(Code::InvalidJson, "The body is incomplete; send all of it"),
                })?;
        json::read_object(&bytes, "The body").map(Self)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let essence = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
    essence.is_some_and(|essence| {
        let essence = essence.to_ascii_lowercase();
        essence == "application/json"
            || (essence.starts_with("application/") && essence.ends_with("+json"))
    })
}

/// The id in the path.
pub(super) struct Id<T>(pub(super) T);

impl<T: FromStr> FromRequestParts<AppState> for Id<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Error> {
        let params = path_params(parts, state).await?;
        let mut params = params.iter();
        Ok(Self(next_id(&mut params)?))
    }
}

/// The two ids in the path, in the order of the path.
pub(super) struct Ids<A, B>(pub(super) A, pub(super) B);

impl<A: FromStr, B: FromStr> FromRequestParts<AppState> for Ids<A, B> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Error> {
        let params = path_params(parts, state).await?;
        let mut params = params.iter();
        Ok(Self(next_id(&mut params)?, next_id(&mut params)?))
    }
}

async fn path_params(parts: &mut Parts, state: &AppState) -> Result<RawPathParams, Error> {
    let params = RawPathParams::from_request_parts(parts, state).await;
    params.map_err(|_| Error::invalid_field("The path", "percent-encoded UTF-8"))
}

fn next_id<'a, T: FromStr>(
    params: &mut impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<T, Error> {
    let (name, text) = params.next().unwrap_or(("id", ""));
    text.parse()
        .map_err(|_| Error::invalid_field(name, "a positive integer"))
}

/// The text in the path. It contains no U+0000.
pub(super) struct Name(pub(super) String);

impl FromRequestParts<AppState> for Name {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Error> {
        let params = path_params(parts, state).await?;
        let text = params
            .iter()
            .next()
            .map(|(_, text)| text)
            .unwrap_or_default();
        match text.contains('\0') {
            false => Ok(Self(text.to_owned())),
            true => Err(Error::invalid_field("username", "without U+0000")),
        }
    }
}

/// The parameters of the query string.
pub(super) struct Params(Vec<(String, String)>);

impl FromRequestParts<AppState> for Params {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Error> {
        let query = Query::from_request_parts(parts, state).await;
        let Query(pairs) =
            query.map_err(|_| Error::invalid_field("The query string", "name=value&…"))?;
        Ok(Self(pairs))
    }
}

impl Params {
    /// Returns a parameter; `None` if absent. A repeated one is refused, because its value would be
    /// ambiguous.
    fn get(&self, name: &str) -> Result<Option<&str>, Error> {
        let mut values = self.0.iter().filter(|(other, _)| other == name);
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(Error::invalid_field(name, "given once")),
            (value, None) => Ok(value.map(|(_, value)| value.as_str())),
        }
    }

    /// Returns `limit`, the most rows of a page: 100 if absent, at most 1,000.
    pub(super) fn limit(&self) -> Result<Limit, Error> {
        Limit::parse(self.get("limit")?)
    }

    fn id<T: FromStr>(&self, name: &str) -> Result<Option<T>, Error> {
        let wrong = |_| Error::invalid_field(name, "a positive integer");
        self.get(name)?
            .map(|text| text.parse().map_err(wrong))
            .transpose()
    }

    /// Returns `after`, the user after which a list begins. If absent, user 0: the list begins with
    /// the first user.
    pub(super) fn after_user(&self) -> Result<UserId, Error> {
        Ok(self.after()?.unwrap_or(UserId(0)))
    }

    /// Returns `after`, the chat after which a list begins. If absent, chat 0: the list begins with
    /// the first chat.
    pub(super) fn after_chat(&self) -> Result<ChatId, Error> {
        Ok(self.after()?.unwrap_or(ChatId(0)))
    }

    /// Returns `after`, the cursor at which a list of a user's chats begins. `None` if absent or
    /// `0`: the list begins with the first chat.
    pub(super) fn after_in_chats(&self) -> Result<Option<ChatCursor>, Error> {
        let expected = "the id of a chat in this list, or the value from the Link header";
        match self.get("after")? {
            None | Some("0") => Ok(None),
            Some(text) => text
                .parse()
                .map(Some)
                .map_err(|()| Error::invalid_field("after", expected)),
        }
    }

    fn after<T: FromStr>(&self) -> Result<Option<T>, Error> {
        match self.get("after")? {
            Some("0") => Ok(None),
            _ => self.id("after"),
        }
    }

    /// Returns the chat of the request, from `chat_id` or `chatId`.
    pub(super) fn chat(&self) -> Result<ChatId, Error> {
        let chat = match self.id("chat_id")? {
            Some(chat) => Some(chat),
            None => self.id("chatId")?,
        };
        chat.ok_or_else(|| Error::invalid_field("chat_id", "given in the query: ?chat_id=1"))
    }

    /// Returns the acting user, from `customerId` or `customer_id`. `None` if the request names no
    /// user.
    pub(super) fn user(&self) -> Result<Option<UserId>, Error> {
        match self.id("customerId")? {
            Some(user) => Ok(Some(user)),
            None => self.id("customer_id"),
        }
    }

    /// Returns `before`, the message before which a page ends. `None` if absent.
    pub(super) fn before(&self) -> Result<Option<MessageId>, Error> {
        self.id("before")
    }

    /// Returns `since` and `epoch`, the change after which a list of changes begins. `None` if
    /// `since` is absent.
    pub(super) fn since(&self) -> Result<Option<Since>, Error> {
        let wrong = |()| Error::invalid_field("since", "an integer from 0");
        let Some(text) = self.get("since")? else {
            return Ok(None);
        };
        let seq: Seq = text.parse().map_err(wrong)?;
        let epoch = self.get("epoch")?.map(Epoch::of);
        Ok(Some(Since { seq, epoch }))
    }

    /// Returns `q`, the text to search for, as received and as compared. `None` if absent.
    pub(super) fn text(&self) -> Result<Option<(&str, SearchText)>, Error> {
        let expected = "1 to 256 bytes of text, without U+0000 and not only accents";
        match self.get("q")? {
            None => Ok(None),
            Some(raw) => match SearchText::parse(raw) {
                Some(text) => Ok(Some((raw, text))),
                None => Err(Error::invalid_field("q", expected)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn json_content_types_are_recognized() {
        let typed = |kind| {
            is_json(&HeaderMap::from_iter([(
                header::CONTENT_TYPE,
                HeaderValue::from_static(kind),
            )]))
        };
        assert!(typed("application/json"));
        assert!(typed("Application/JSON; charset=utf-8"));
        assert!(typed("application/merge-patch+json"));
        assert!(!typed("text/plain"));
        assert!(!is_json(&HeaderMap::new()));
    }
}
