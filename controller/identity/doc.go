// Package identity issues X.509 certificates to workloads.
//
// In go a certificate request and a proof of identity, which is a one-time join
// token or the certificate in use; out comes a short-lived certificate with one
// SPIFFE ID and nothing else that the client chose. Of the request only the
// public key is used.
//
// The package never reads an identity from a request, never logs a token or a
// key, and decides nothing about what an identity may do: releases do.
package identity
