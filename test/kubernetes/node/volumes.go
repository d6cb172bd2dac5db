package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mesh-compile/mesh-compile/test/kubernetes/kubetest"
)

// mount makes the pod's volumes, and returns what rewrites the container's paths to them.
func (p *Pod) mount(t kubetest.T, container corev1.Container) (*strings.Replacer, error) {
	mounts := slices.Clone(container.VolumeMounts)
	slices.SortFunc(mounts, func(a, b corev1.VolumeMount) int { return len(b.MountPath) - len(a.MountPath) })
	var pairs []string
	for _, m := range mounts {
		i := slices.IndexFunc(p.object.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name })
		dir, err := p.volume(t, p.object.Spec.Volumes[i])
		if err != nil {
			return nil, fmt.Errorf("making volume %s: %w", m.Name, err)
		}
		pairs = append(pairs, m.MountPath, dir)
	}
	return strings.NewReplacer(pairs...), nil
}

func (p *Pod) volume(t kubetest.T, v corev1.Volume) (dir string, err error) {
	dir = filepath.Join(p.dir, v.Name)
	if v.PersistentVolumeClaim != nil {
		dir = p.node.Claim(p.Namespace, v.PersistentVolumeClaim.ClaimName)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	ctx := t.Context()
	switch {
	case v.ConfigMap != nil:
		return dir, p.configMap(ctx, dir, v.ConfigMap)
	case v.Secret != nil:
		return dir, p.secret(ctx, dir, v.Secret)
	case v.Projected != nil:
		return dir, p.projected(t, dir, v.Projected.Sources)
	case v.EmptyDir != nil, v.PersistentVolumeClaim != nil:
		return dir, nil
	}
	return "", errors.New("no such kind of volume is known here")
}

func (p *Pod) configMap(ctx context.Context, dir string, source *corev1.ConfigMapVolumeSource) error {
	var object corev1.ConfigMap
	if err := p.node.cluster.Client.Get(ctx, client.ObjectKey{Namespace: p.Namespace, Name: source.Name}, &object); err != nil {
		return err
	}
	data := map[string][]byte{}
	for key, text := range object.Data {
		data[key] = []byte(text)
	}
	for key, text := range object.BinaryData {
		data[key] = text
	}
	return write(dir, data, source.Items, source.DefaultMode)
}

func (p *Pod) secret(ctx context.Context, dir string, source *corev1.SecretVolumeSource) error {
	var object corev1.Secret
	err := p.node.cluster.Client.Get(ctx, client.ObjectKey{Namespace: p.Namespace, Name: source.SecretName}, &object)
	if source.Optional != nil && *source.Optional {
		err = client.IgnoreNotFound(err)
	}
	if err != nil || object.Name == "" {
		return err
	}
	return write(dir, object.Data, source.Items, source.DefaultMode)
}

// write writes the keys of a ConfigMap or Secret as files.
func write(dir string, data map[string][]byte, items []corev1.KeyToPath, mode *int32) error {
	files := data
	if len(items) > 0 {
		files = map[string][]byte{}
		for _, item := range items {
			files[item.Path] = data[item.Key]
		}
	}
	perm := os.FileMode(0o644)
	if mode != nil {
		perm = os.FileMode(*mode)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, perm); err != nil {
			return err
		}
	}
	return nil
}

func (p *Pod) projected(t kubetest.T, dir string, sources []corev1.VolumeProjection) error {
	for _, s := range sources {
		if s.ServiceAccountToken == nil {
			return errors.New("only tokens are projected here")
		}
		token := p.node.cluster.Token(t, kubetest.TokenRequest{
			Namespace: p.Namespace, ServiceAccount: p.object.Spec.ServiceAccountName,
			Audience: s.ServiceAccountToken.Audience, Pod: p.Name,
		})
		if err := os.WriteFile(filepath.Join(dir, s.ServiceAccountToken.Path), []byte(token), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// environment resolves the container's variables.
func (p *Pod) environment(ctx context.Context, vars []corev1.EnvVar) (map[string]string, error) {
	out := map[string]string{}
	for _, v := range vars {
		value, err := p.value(ctx, v)
		if err != nil {
			return nil, fmt.Errorf("resolving variable %s: %w", v.Name, err)
		}
		out[v.Name] = value
	}
	return out, nil
}

func (p *Pod) value(ctx context.Context, v corev1.EnvVar) (string, error) {
	switch {
	case v.ValueFrom == nil:
		return v.Value, nil
	case v.ValueFrom.FieldRef != nil:
		switch v.ValueFrom.FieldRef.FieldPath {
		case "metadata.namespace":
			return p.Namespace, nil
		case "metadata.name":
			return p.Name, nil
		case "metadata.uid":
			return string(p.object.UID), nil
		case "status.podIP":
			return p.IP, nil
		}
	case v.ValueFrom.ConfigMapKeyRef != nil:
		ref := v.ValueFrom.ConfigMapKeyRef
		var object corev1.ConfigMap
		err := p.node.cluster.Client.Get(ctx, client.ObjectKey{Namespace: p.Namespace, Name: ref.Name}, &object)
		return object.Data[ref.Key], err
	}
	return "", errors.New("no such source is known here")
}
