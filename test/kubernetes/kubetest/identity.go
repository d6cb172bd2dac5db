package kubetest

import (
	"os"
	"path/filepath"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TokenSeconds is how long tokens are valid: longer than any test.
const TokenSeconds = 3600

// As returns the path of a kubeconfig with a token of a service account, which is made where it is
// missing. RBAC applies to it as to a pod of that account.
func (c *Cluster) As(t T, namespace, serviceAccount string) string {
	t.Helper()
	return c.writeKubeconfig(t, TokenRequest{Namespace: namespace, ServiceAccount: serviceAccount})
}

// Kubeconfig is the path of the administrator's.
func (c *Cluster) Kubeconfig() string { return c.kubeconfig }

// Load reads a kubeconfig that As returned.
func Load(t T, kubeconfig string) *rest.Config {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func kubeconfig(config *rest.Config, namespace string) clientcmdapi.Config {
	out := *clientcmdapi.NewConfig()
	const name = "kubetest"
	out.Clusters[name] = &clientcmdapi.Cluster{Server: config.Host, CertificateAuthorityData: config.CAData}
	out.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: config.BearerToken}
	out.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name, Namespace: namespace}
	out.CurrentContext = name
	return out
}

// TokenRequest asks for a token as a kubelet does for a projected volume.
type TokenRequest struct {
	Namespace, ServiceAccount string
	Audience                  string // the API server's by default
	Pod                       string // the pod that the token is bound to, if any
}

// Token returns a token of a service account, which is made where it is missing.
func (c *Cluster) Token(t T, r TokenRequest) string {
	t.Helper()
	account := &corev1.ServiceAccount{}
	account.Namespace, account.Name = r.Namespace, r.ServiceAccount
	if err := c.Client.Create(t.Context(), account); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	seconds := int64(TokenSeconds)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
	if r.Audience != "" {
		request.Spec.Audiences = []string{r.Audience}
	}
	if r.Pod != "" {
		pod := &corev1.Pod{}
		if err := c.Client.Get(t.Context(), client.ObjectKey{Namespace: r.Namespace, Name: r.Pod}, pod); err != nil {
			t.Fatal(err)
		}
		request.Spec.BoundObjectRef = &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: r.Pod, UID: pod.UID}
	}
	if err := c.Client.SubResource("token").Create(t.Context(), account, request); err != nil {
		t.Fatal(err)
	}
	return request.Status.Token
}

// TokenFile writes a token where a projected volume would have it.
func (c *Cluster) TokenFile(t T, r TokenRequest) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(c.Token(t, r)), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// PodKubeconfig is As with a token that is bound to a pod.
func (c *Cluster) PodKubeconfig(t T, namespace, serviceAccount, pod string) string {
	t.Helper()
	return c.writeKubeconfig(t, TokenRequest{Namespace: namespace, ServiceAccount: serviceAccount, Pod: pod})
}

func (c *Cluster) writeKubeconfig(t T, r TokenRequest) string {
	t.Helper()
	config := &rest.Config{Host: c.Config.Host, BearerToken: c.Token(t, r)}
	config.CAData = c.Config.CAData
	file := filepath.Join(c.Dir, strings.Join([]string{r.Namespace, r.ServiceAccount, r.Pod, "kubeconfig"}, "."))
	if err := clientcmd.WriteToFile(kubeconfig(config, r.Namespace), file); err != nil {
		t.Fatal(err)
	}
	return file
}
