//! What went wrong, in words.

use std::error::Error;

pub(crate) type Fault = Box<dyn Error + Send + Sync>;
