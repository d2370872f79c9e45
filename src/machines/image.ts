/** The image's machine: building → ready or failed, then deleting → deleted. Pure; runs no effect. */
import { assign, setup, transition } from "xstate";
import type { NewEvent, StoredEvent } from "../model/events.js";
import type { Image, ImagePhase } from "../model/model.js";

type Drive = StoredEvent | NewEvent;

const machine = setup({
  types: { context: {} as Image, events: {} as Drive, input: {} as Image },
  actions: {
    begin: assign({
      stage: null,
      error: null,
      sizeBytes: null,
      source: ({ event, context }) =>
        event.type === "image.pull_requested" ? event.data.source : context.source,
      createdAt: ({ event, context }) => ("at" in event ? event.at : context.createdAt),
    }),
    find: assign(({ event, context }) => {
      if (event.type !== "image.found") return {};
      const { name, source, sizeBytes, builtAt } = event.data;
      return {
        ...context,
        stage: null,
        error: null,
        found: true as const,
        name,
        source,
        sizeBytes,
        createdAt: builtAt,
      };
    }),
    noteStage: assign({
      stage: ({ event, context }) =>
        event.type === "image.stage_reached" ? event.data.stage : context.stage,
    }),
    noteReady: assign({
      stage: null,
      error: null,
      sizeBytes: ({ event, context }) =>
        event.type === "image.ready" ? event.data.sizeBytes : context.sizeBytes,
    }),
    noteFailure: assign({
      stage: null,
      error: ({ event, context }) =>
        event.type === "image.build_failed" || event.type === "image.damaged" ? event.data : context.error,
    }),
  },
}).createMachine({
  id: "image",
  context: ({ input }) => input,
  initial: "building",
  states: {
    building: {
      on: {
        "image.stage_reached": { actions: "noteStage" },
        "image.ready": { target: "ready", actions: "noteReady" },
        "image.build_failed": { target: "failed", actions: "noteFailure" },
        "image.delete_requested": "deleting",
      },
    },
    ready: {
      on: {
        "image.damaged": { target: "failed", actions: "noteFailure" },
        "image.delete_requested": "deleting",
        // By another home, which shares it.
        "image.deleted": "deleted",
      },
    },
    failed: {
      on: {
        // The files of a damaged one were put back.
        "image.ready": { target: "ready", actions: "noteReady" },
        "image.pull_requested": { target: "building", actions: "begin" },
        "image.delete_requested": "deleting",
        "image.deleted": "deleted",
      },
    },
    deleting: { on: { "image.deleted": "deleted" } },
    deleted: {
      on: {
        "image.pull_requested": { target: "building", actions: "begin" },
        "image.found": { target: "ready", actions: "find" },
      },
    },
  },
});

const snapshotOf = (image: Image) => machine.resolveState({ value: image.phase, context: image });

/** Whether the event would change anything of an image in its present phase. */
export const imageCan = (image: Image, event: NewEvent): boolean => snapshotOf(image).can(event);

/** The image after `event`; an event that the phase does not know leaves it as it is. */
export function imageAfter(image: Image, event: StoredEvent): Image {
  const [next] = transition(machine, snapshotOf(image), event);
  const phase = next.value as ImagePhase;
  if (next.context === image && phase === image.phase) return image;
  return { ...next.context, phase, changedAt: phase === image.phase ? image.changedAt : event.at };
}
