package importorder

// module is the import path that every package of the table starts with.
const module = "github.com/mesh-compile/mesh-compile"

// table is the import order of the project. "a, b < c" lets c import a, b and whatever they may
// import; "a !< c" forbids it to c, even indirectly, and a may be a package or module of others.
// A name is one exact package unless it ends in "/*": then it is every package below. Programs
// (cmd) and tests (test) may import everything; nothing else may import them.
const table = `
# documents and the model
compiler/source < compiler/diag, compiler/mesh, compiler/source/open
compiler/locality < compiler/mesh, compiler/artifact
compiler/diag, compiler/parallel, schemas < compiler/load
compiler/load, schemas < compiler/load/structural
compiler/load/structural < compiler/dialect/native
controller/api/v1alpha1 < compiler/dialect/native, schemas, schemas/*
compiler/load, compiler/mesh < compiler/dialect, compiler/dialect/*
compiler/dialect/translate < compiler/dialect/*
compiler/dialect/* < compiler/dialect
compiler/diag, compiler/dialect/translate < compiler/convert/hystrix
compiler/load, compiler/dialect, schemas < compiler/render

# the checked mesh, and what reads it
compiler/diag, compiler/mesh < compiler/check
compiler/check < compiler/reach, compiler/xds, compiler/authz
compiler/memo < compiler/xds
compiler/mesh < compiler/envoymatch
compiler/envoymatch < compiler/check, compiler/reach, compiler/xds, compiler/authz
compiler/reach < compiler/analyze
compiler/analyze < compiler/analyze/passes/*, compiler/analyze/analyzetest
compiler/analyze/passes/* < compiler/analyze/passes
compiler/check, compiler/reach < compiler/policytest, compiler/diff, compiler/graph
policies < compiler/authz

# releases
compiler/durable < compiler/artifact, controller/*
compiler/artifact < compiler/sign
compiler/*, policies, schemas < compiler
compiler < compiler/analyze/analyzetest

# controller and agent
compiler < controller/reconcile, controller/admission, controller/quarantine, controller/standalone
compiler/artifact, compiler/sign < controller/store, controller/signer, controller/fetch, controller/deliver, agent, agent/*
controller/signer < controller/standalone, controller/signing
controller/api/v1alpha1 < controller/rollout
controller/rollout, controller/fetch, controller/store < controller/reconcile
compiler/dialect, controller/api/v1alpha1 < controller/objects
controller/objects < controller/admission, controller/quarantine, controller/reconcile
controller/quarantine < controller/reconcile
controller/admission < controller/admission/webhook, controller/admission/audit
controller/api/v1alpha1 < controller/admission/audit
controller/gate, controller/identity < controller/admission/serving
controller/gate < controller/reconcile
compiler, controller/admission/webhook < controller/admission/floor
controller/api/v1alpha1, controller/store < controller/signing
controller/delivery/v1 < controller/deliver, controller/identity, controller/standalone, agent, agent/*
controller/peer < controller/deliver, controller/identity, controller/identity/kubernetes
controller/identity < controller/identity/kubernetes
compiler/artifact < controller/endpoints
controller/endpoints < controller/deliver
controller/deliver, controller/identity, controller/endpoints < controller/standalone
controller/endpoints < controller/endpoints/kubernetes
controller/deliver, controller/store, controller/rollout, controller/api/v1alpha1 < controller/deliver/follow
controller/deliver, controller/api/v1alpha1 < controller/fleet, controller/fleet/cluster
controller/fleet < controller/fleet/cluster, controller/reconcile
agent/* < agent, agent/*

# the access policy reaches xds as a value that compiler hands over
compiler/xds !< compiler/authz
compiler/authz !< compiler/xds
# what runs without Kubernetes does not carry its client
k8s.io/client-go !< compiler, compiler/*, agent, agent/*, controller/standalone
# what stands beside every proxy neither evaluates CUE nor compiles
cuelang.org/go, compiler !< agent, agent/*
`
