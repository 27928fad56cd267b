//! Columns of the model's ids, roles and epochs. sqlx derives these traits too, but its macros bring the drivers
//! into the build a second time, for the compiler, which takes a fifth of the time of a first build.

use crate::model::{ChatId, Data, Epoch, MessageId, Role, Seq, SessionId, UserId};
use sqlx::{
    Database, Decode, Encode, Type,
    encode::IsNull,
    error::BoxDynError,
    postgres::{PgHasArrayType, PgTypeInfo},
};

/// Implements the type and the decoding of a column: it is read as the inner type and converted.
macro_rules! column {
    ($name:ident: $inner:ty, $convert:expr) => {
        impl<DB: Database> Type<DB> for $name
        where
            $inner: Type<DB>,
        {
            fn type_info() -> DB::TypeInfo {
                <$inner as Type<DB>>::type_info()
            }

            fn compatible(column: &DB::TypeInfo) -> bool {
                <$inner as Type<DB>>::compatible(column)
            }
        }

        impl<'r, DB: Database> Decode<'r, DB> for $name
        where
            $inner: Decode<'r, DB>,
        {
            fn decode(value: DB::ValueRef<'r>) -> Result<Self, BoxDynError> {
                <$inner as Decode<'r, DB>>::decode(value).map($convert)
            }
        }
    };
}

/// Implements the column of an id: an integer.
macro_rules! id {
    ($name:ident) => {
        column!($name: i64, $name);

        impl<'q, DB: Database> Encode<'q, DB> for $name
        where
            i64: Encode<'q, DB>,
        {
            fn encode_by_ref(&self, buffer: &mut DB::ArgumentBuffer) -> Result<IsNull, BoxDynError> {
                self.0.encode_by_ref(buffer)
            }
        }

        impl PgHasArrayType for $name {
            fn array_type_info() -> PgTypeInfo {
                i64::array_type_info()
            }
        }
    };
}

id!(UserId);
id!(ChatId);
id!(MessageId);
id!(SessionId);
id!(Seq);
column!(Role: String, Role::from);
column!(Epoch: String, |text| Epoch::of(&text));
column!(Data: String, Data::stored);
