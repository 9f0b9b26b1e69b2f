package main

import (
	"reflect"
	"slices"

	"github.com/g4fagent/g4fagent/api"
)

// What each feature is made of, by the operations' names in Go.
var (
	diffOperations       = []string{"ListDiffs", "ProposeDiff", "GetDiff", "ApplyDiff", "DiscardDiff", "CommentDiff"}
	fileOperations       = []string{"GetFileTree", "ReadFile", "WriteFile", "BatchFiles"}
	workflowOperations   = []string{"ListWorkflows", "CreateWorkflow", "GetWorkflow", "ReplaceWorkflowGraph", "StartWorkflowRun"}
	deploymentOperations = []string{"ListDeployments", "StartDeployment", "GetDeployment", "ListDeploymentLogs", "CancelDeployment"}
	telemetryOperations  = []string{"ListTelemetryStreams", "QueryTelemetry", "CreateAlert"}
	streamOperations     = []string{"StreamSession"}
	providerOperations   = []string{"ListProviders", "ScanProviders", "ListModels", "TestProvider"}
)

// shownFeatures are those all of whose operations are there. Nothing is streamed
// over WebSockets.
func shownFeatures() api.Features {
	return api.Features{
		SseStreaming: there(streamOperations), Diffs: there(diffOperations), FileEditor: there(fileOperations),
		Workflows: there(workflowOperations), Deployments: there(deploymentOperations), Telemetry: there(telemetryOperations),
		MultiProvider: there(providerOperations),
	}
}

// there reports whether none of the operations is answered by later.
func there(operations []string) bool {
	return !slices.ContainsFunc(operations, func(name string) bool {
		_, missing := reflect.TypeFor[later]().MethodByName(name)
		return missing
	})
}
