package main

import (
	"context"

	"github.com/g4fagent/g4fagent/api"
	"github.com/g4fagent/g4fagent/internal/fault"
)

// errLater answers an operation of the document that this version does not have.
var errLater = fault.New(fault.NotImplemented, "not_implemented", "This version of the server does not have this operation yet.")

// later is every operation that is documented and not there yet. It shrinks to
// nothing.
type later struct{}

func (later) GetArtifact(context.Context, api.GetArtifactRequestObject) (api.GetArtifactResponseObject, error) {
	return nil, errLater
}

func (later) GetDeployment(context.Context, api.GetDeploymentRequestObject) (api.GetDeploymentResponseObject, error) {
	return nil, errLater
}

func (later) CancelDeployment(context.Context, api.CancelDeploymentRequestObject) (api.CancelDeploymentResponseObject, error) {
	return nil, errLater
}

func (later) ListDeploymentLogs(context.Context, api.ListDeploymentLogsRequestObject) (api.ListDeploymentLogsResponseObject, error) {
	return nil, errLater
}

func (later) GetDiff(context.Context, api.GetDiffRequestObject) (api.GetDiffResponseObject, error) {
	return nil, errLater
}

func (later) ApplyDiff(context.Context, api.ApplyDiffRequestObject) (api.ApplyDiffResponseObject, error) {
	return nil, errLater
}

func (later) CommentDiff(context.Context, api.CommentDiffRequestObject) (api.CommentDiffResponseObject, error) {
	return nil, errLater
}

func (later) DiscardDiff(context.Context, api.DiscardDiffRequestObject) (api.DiscardDiffResponseObject, error) {
	return nil, errLater
}

func (later) GetFile(context.Context, api.GetFileRequestObject) (api.GetFileResponseObject, error) {
	return nil, errLater
}

func (later) ListNotifications(context.Context, api.ListNotificationsRequestObject) (api.ListNotificationsResponseObject, error) {
	return nil, errLater
}

func (later) AckNotifications(context.Context, api.AckNotificationsRequestObject) (api.AckNotificationsResponseObject, error) {
	return nil, errLater
}

func (later) ListArtifacts(context.Context, api.ListArtifactsRequestObject) (api.ListArtifactsResponseObject, error) {
	return nil, errLater
}

func (later) CreateArtifact(context.Context, api.CreateArtifactRequestObject) (api.CreateArtifactResponseObject, error) {
	return nil, errLater
}

func (later) ListDeployments(context.Context, api.ListDeploymentsRequestObject) (api.ListDeploymentsResponseObject, error) {
	return nil, errLater
}

func (later) StartDeployment(context.Context, api.StartDeploymentRequestObject) (api.StartDeploymentResponseObject, error) {
	return nil, errLater
}

func (later) ListDiffs(context.Context, api.ListDiffsRequestObject) (api.ListDiffsResponseObject, error) {
	return nil, errLater
}

func (later) ProposeDiff(context.Context, api.ProposeDiffRequestObject) (api.ProposeDiffResponseObject, error) {
	return nil, errLater
}

func (later) BatchFiles(context.Context, api.BatchFilesRequestObject) (api.BatchFilesResponseObject, error) {
	return nil, errLater
}

func (later) ReadFile(context.Context, api.ReadFileRequestObject) (api.ReadFileResponseObject, error) {
	return nil, errLater
}

func (later) WriteFile(context.Context, api.WriteFileRequestObject) (api.WriteFileResponseObject, error) {
	return nil, errLater
}

func (later) GetFileTree(context.Context, api.GetFileTreeRequestObject) (api.GetFileTreeResponseObject, error) {
	return nil, errLater
}

func (later) FormatFiles(context.Context, api.FormatFilesRequestObject) (api.FormatFilesResponseObject, error) {
	return nil, errLater
}

func (later) LintFiles(context.Context, api.LintFilesRequestObject) (api.LintFilesResponseObject, error) {
	return nil, errLater
}

func (later) CheckoutRepo(context.Context, api.CheckoutRepoRequestObject) (api.CheckoutRepoResponseObject, error) {
	return nil, errLater
}

func (later) CommitRepo(context.Context, api.CommitRepoRequestObject) (api.CommitRepoResponseObject, error) {
	return nil, errLater
}

func (later) PullRepo(context.Context, api.PullRepoRequestObject) (api.PullRepoResponseObject, error) {
	return nil, errLater
}

func (later) GetRepoStatus(context.Context, api.GetRepoStatusRequestObject) (api.GetRepoStatusResponseObject, error) {
	return nil, errLater
}

func (later) SearchFiles(context.Context, api.SearchFilesRequestObject) (api.SearchFilesResponseObject, error) {
	return nil, errLater
}

func (later) ListTelemetryStreams(context.Context, api.ListTelemetryStreamsRequestObject) (api.ListTelemetryStreamsResponseObject, error) {
	return nil, errLater
}

func (later) OpenTerminal(context.Context, api.OpenTerminalRequestObject) (api.OpenTerminalResponseObject, error) {
	return nil, errLater
}

func (later) KillTerminal(context.Context, api.KillTerminalRequestObject) (api.KillTerminalResponseObject, error) {
	return nil, errLater
}

func (later) ListWorkflows(context.Context, api.ListWorkflowsRequestObject) (api.ListWorkflowsResponseObject, error) {
	return nil, errLater
}

func (later) CreateWorkflow(context.Context, api.CreateWorkflowRequestObject) (api.CreateWorkflowResponseObject, error) {
	return nil, errLater
}

func (later) CreateAlert(context.Context, api.CreateAlertRequestObject) (api.CreateAlertResponseObject, error) {
	return nil, errLater
}

func (later) QueryTelemetry(context.Context, api.QueryTelemetryRequestObject) (api.QueryTelemetryResponseObject, error) {
	return nil, errLater
}

func (later) ListTools(context.Context, api.ListToolsRequestObject) (api.ListToolsResponseObject, error) {
	return nil, errLater
}

func (later) RegisterTool(context.Context, api.RegisterToolRequestObject) (api.RegisterToolResponseObject, error) {
	return nil, errLater
}

func (later) DeleteTool(context.Context, api.DeleteToolRequestObject) (api.DeleteToolResponseObject, error) {
	return nil, errLater
}

func (later) InvokeTool(context.Context, api.InvokeToolRequestObject) (api.InvokeToolResponseObject, error) {
	return nil, errLater
}

func (later) CreateUpload(context.Context, api.CreateUploadRequestObject) (api.CreateUploadResponseObject, error) {
	return nil, errLater
}

func (later) PostUpload(context.Context, api.PostUploadRequestObject) (api.PostUploadResponseObject, error) {
	return nil, errLater
}

func (later) PutUpload(context.Context, api.PutUploadRequestObject) (api.PutUploadResponseObject, error) {
	return nil, errLater
}

func (later) GetWorkflow(context.Context, api.GetWorkflowRequestObject) (api.GetWorkflowResponseObject, error) {
	return nil, errLater
}

func (later) ReplaceWorkflowGraph(context.Context, api.ReplaceWorkflowGraphRequestObject) (api.ReplaceWorkflowGraphResponseObject, error) {
	return nil, errLater
}

func (later) StartWorkflowRun(context.Context, api.StartWorkflowRunRequestObject) (api.StartWorkflowRunResponseObject, error) {
	return nil, errLater
}
