-- PolicySync follows kstatus: Ready is always there; Reconciling and Stalled are
-- there only while they are True. observedGeneration is that of the last attempt that
-- came to an end, so a condition's own generation says whether it is about this spec.
local waiting = {
  Progressing = true, ProgressingWithRetry = true, DependencyNotReady = true,
  SourceNotReady = true, AwaitingSignature = true, RollingOut = true,
}

if obj.spec ~= nil and obj.spec.suspend then
  return {status = "Suspended", message = "The sync is suspended; what is live stays live"}
end
if obj.status == nil or obj.status.conditions == nil then
  return {status = "Progressing", message = "Waiting for the controller"}
end

local ready
for _, c in ipairs(obj.status.conditions) do
  if c.type == "Stalled" and c.status == "True" then
    return {status = "Degraded", message = c.message}
  end
  if c.type == "Ready" then
    ready = c
  end
end
if ready == nil then
  return {status = "Progressing", message = "Waiting for the controller"}
end

local generation = obj.metadata.generation
if generation ~= nil and (ready.observedGeneration or obj.status.observedGeneration or 0) < generation then
  return {status = "Progressing", message = "Waiting for the controller to see the change"}
end
if ready.status == "True" then
  return {status = "Healthy", message = ready.message}
end
if ready.status == "False" and not waiting[ready.reason] then
  return {status = "Degraded", message = ready.message}
end
return {status = "Progressing", message = ready.message}
