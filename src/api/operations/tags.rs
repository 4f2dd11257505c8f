//! SetTag and DeleteTag: names for versions of a config, and for revisions of all configs of a namespace.

use crate::api::context::CallContext;
use crate::api::convert::request;
use crate::api::error::ApiError;
use crate::model::{Revision, Source, Version};
use crate::proto::v1;

use super::Operations;
use super::write::options;

impl Operations {
    pub async fn set_tag(
        &self,
        context: &CallContext,
        mut request: v1::SetTagRequest,
    ) -> Result<v1::SetTagResponse, ApiError> {
        let (options, identity) = options("SetTag", &mut request, |request| &mut request.options);
        let intent = request::set_tag(&request)?;
        let write = self.allow_write(context, &options, intent)?;
        let outcome = self.write(context, write, Source::Tag, options, identity).await?;
        let (version, previous) = outcome.tag;
        let (revision, previous_revision) = outcome.namespace_tag;
        Ok(v1::SetTagResponse {
            revision: revision.unwrap_or(Revision::ZERO).0,
            previous_revision: previous_revision.unwrap_or(Revision::ZERO).0,
            version: version.unwrap_or(Version::ZERO).0,
            previous_version: previous.unwrap_or(Version::ZERO).0,
            changed: outcome.changed,
            store_revision: outcome.revision.0,
        })
    }

    pub async fn delete_tag(
        &self,
        context: &CallContext,
        mut request: v1::DeleteTagRequest,
    ) -> Result<v1::DeleteTagResponse, ApiError> {
        let (options, identity) = options("DeleteTag", &mut request, |request| &mut request.options);
        let intent = request::delete_tag(&request)?;
        let write = self.allow_write(context, &options, intent)?;
        let outcome = self.write(context, write, Source::Tag, options, identity).await?;
        Ok(v1::DeleteTagResponse {
            previous_version: outcome.tag.1.unwrap_or(Version::ZERO).0,
            previous_revision: outcome.namespace_tag.1.unwrap_or(Revision::ZERO).0,
            changed: outcome.changed,
            store_revision: outcome.revision.0,
        })
    }
}
