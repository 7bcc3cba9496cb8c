//! Reflection, laid out when somebody first asks for it: few ever do, and it takes half a megabyte.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use hyper::{Request, Response};
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::Routes;
use tower::Service;

/// Both versions, once they are there.
#[derive(Debug, Clone, Default)]
pub(super) struct Reflection(Arc<OnceLock<Routes>>);

impl Reflection {
    /// The present version.
    pub(super) fn v1(&self) -> Door<false> {
        Door(self.clone())
    }

    /// Some clients still ask for this one only.
    pub(super) fn v1alpha(&self) -> Door<true> {
        Door(self.clone())
    }

    fn routes(&self) -> Routes {
        self.0.get_or_init(lay_out).clone()
    }
}

fn lay_out() -> Routes {
    let builder = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(tokmon_proto::DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let mut routes = Routes::builder();
    match builder().build_v1() {
        Ok(service) => drop(routes.add_service(service)),
        Err(e) => tracing::error!("no reflection: {e}"),
    }
    match builder().build_v1alpha() {
        Ok(service) => drop(routes.add_service(service)),
        Err(e) => tracing::error!("no reflection v1alpha: {e}"),
    }
    routes.routes()
}

/// One version, by its name.
#[derive(Debug, Clone)]
pub(super) struct Door<const ALPHA: bool>(Reflection);

impl NamedService for Door<false> {
    const NAME: &'static str = "grpc.reflection.v1.ServerReflection";
}

impl NamedService for Door<true> {
    const NAME: &'static str = "grpc.reflection.v1alpha.ServerReflection";
}

impl<const ALPHA: bool> Service<Request<Body>> for Door<ALPHA> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = <Routes as Service<Request<Body>>>::Future;

    /// What answers is always ready.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.0.routes().call(request)
    }
}
