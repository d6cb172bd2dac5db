package standalone

import (
	"context"
	"time"
)

// retryAfter is the pause before a failure that no change of the repository
// would mend, such as a full disk, is tried again.
const retryAfter = 5 * time.Second

// tokenRefresh is how often join token files are looked at without a reason.
const tokenRefresh = time.Minute

// loop does everything that changes the live release, one thing after another.
func (c *controller) loop(ctx context.Context) {
	raw := make(chan struct{}, 1)
	go c.policy.watch(ctx, func() {
		select {
		case raw <- struct{}{}:
		default:
		}
	})
	changes := (<-chan struct{})(raw)
	if !isGitPath(c.cfg.Path) {
		changes = debounce(ctx, raw, c.cfg.Debounce, maxDebounces*c.cfg.Debounce)
	}
	tokens := time.NewTicker(tokenRefresh)
	defer tokens.Stop()
	c.update(ctx)
	pause := time.Duration(0) // after a renewal that failed
	for {
		c.store()
		c.fillTokens(ctx)
		renew := time.NewTimer(max(c.renewIn(), pause))
		var again <-chan time.Time
		if c.retry {
			again = time.After(retryAfter)
		}
		select {
		case <-ctx.Done():
		case <-again:
			c.update(ctx)
		case <-changes:
			c.update(ctx)
		case seen := <-c.ahead:
			c.report("signing above what an agent has", c.climb(seen))
		case <-renew.C:
			if pause = 0; !c.report("signing the release again before it expires", c.renew()) {
				pause = retryAfter
			}
		case <-c.joined:
		case <-tokens.C:
		}
		renew.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// maxDebounces bounds the wait for a directory that never rests.
const maxDebounces = 20

// renew signs the live release again before it expires, whatever the policies
// say by then.
func (c *controller) renew() error {
	if c.live == nil {
		return nil
	}
	return c.again()
}

// report logs a failure that leaves the live release as it is, and says whether
// there was none.
func (c *controller) report(doing string, err error) bool {
	if err != nil {
		c.log.Error(doing, "error", err)
		c.status.refuse(c.live.Doc.Source.Commit, err)
	}
	return err == nil
}

func (c *controller) fillTokens(ctx context.Context) {
	if c.cfg.JoinTokens == "" || c.live == nil {
		return
	}
	err := joinTokens{dir: c.cfg.JoinTokens, tokens: c.tokens}.fill(ctx, c.live.Release.Leaves())
	if err != nil && ctx.Err() == nil {
		c.log.Error("keeping join tokens", "error", err)
	}
}
