// Package deliver serves releases, their blobs and live endpoints to agents.
//
// In go signed releases and a table of endpoints; out goes to each agent what
// its own identity may have: its leaf with the proof, the blobs that its leaves
// reach, the endpoints of the clusters that its constraints name. Back come
// reports of what each proxy runs.
//
// The package signs nothing, and believes nothing that an agent says about who
// it is: the client certificate tells that. What it keeps for an agent is
// bounded, and a slow agent gets the newest release instead of each one.
package deliver
